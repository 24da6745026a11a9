import { randomInt } from 'node:crypto'
import type { About, Answered, Ask, Customer } from './metering.ts'

const CREDITS_MAX = 3

/**
 * The kind of a settle, release or refund. `first` is the first request for a hold or charge. `again` is a second request for
 * the same hold or charge, often in the same batch, and the server refuses it. `too much` is a first settle that asks for more
 * credits than its hold has.
 */
type How = 'first' | 'again' | 'too much'

/** The requests for each customer, in this order. After the last request, the list starts again. */
const TURNS: readonly (readonly ['charge' | 'hold'] | readonly ['settle' | 'release' | 'refund', How])[] = [
  ['charge'],
  ['hold'],
  ['settle', 'first'],
  ['charge'],
  ['refund', 'first'],
  ['refund', 'again'],
  ['hold'],
  ['settle', 'too much'],
  ['hold'],
  ['release', 'first'],
  ['release', 'again'],
  ['charge'],
]

/**
 * Creates a source of requests of every kind. The requests alternate between the customers. A settle, release or refund picks
 * any hold or charge that already has a verdict, which is often older than the last fault. If there is no such hold or charge,
 * a charge is sent instead.
 *
 * @returns a function that creates the next request from the verdicts so far.
 */
export function load(customers: readonly Customer[], name: string): (answered: readonly Answered[]) => Ask {
  const accounts = customers.map((customer) => ({ customer, holds: new Events(), charges: new Events() }))
  let asked = 0
  let seen = 0
  return (answered) => {
    for (const { customer, credits, idempotencyKey, verdict } of answered.slice(seen)) {
      const account = accounts.find((one) => one.customer === customer)
      if (verdict.verdict === 'held') account?.holds.add({ eventId: verdict.holdId, credits, idempotencyKey })
      else if ('chargeId' in verdict && verdict.chargeId !== null && credits > 0)
        account?.charges.add({ eventId: verdict.chargeId, credits, idempotencyKey })
    }
    seen = answered.length

    const account = accounts[asked % accounts.length]
    const turn = TURNS[Math.floor(asked / accounts.length) % TURNS.length]
    if (account === undefined || turn === undefined) throw new Error('Pass at least one customer.')
    const ask = { customer: account.customer, idempotencyKey: `${name}-${asked++}` }
    const [action, how] = turn
    if (action === 'hold') return { ...ask, action, credits: randomInt(1, CREDITS_MAX + 1) }
    const about = how && account[action === 'refund' ? 'charges' : 'holds'].pick(how)
    if (about === undefined) return { ...ask, action: 'charge', credits: randomInt(CREDITS_MAX + 1) }
    if (action === 'release' || how === 'again') return { ...ask, action, credits: about.credits, about }
    const credits = how === 'too much' ? about.credits + 1 : randomInt(action === 'settle' ? 0 : 1, about.credits + 1)
    return { ...ask, action, credits, about }
  }
}

/** The holds or the charges of one customer that later requests can refer to. */
class Events {
  readonly #open: About[] = []
  readonly #asked: About[] = []

  add(event: About): void {
    this.#open.push(event)
  }

  pick(how: How): About | undefined {
    if (how === 'again') return this.#asked.at(-1)
    const [event] = this.#open.length === 0 ? [] : this.#open.splice(randomInt(this.#open.length), 1)
    if (event !== undefined) this.#asked.push(event)
    return event
  }
}
