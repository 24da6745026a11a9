/** Another process of the server, as the races need it: an engine and a router with pools of their own. */
import type { Charge, Verdict } from '@keymeter/contract'
import { createDb } from '@keymeter/db'
import { pino } from 'pino'
import { createMetering } from '../src/metering/metering.ts'
import { signedIn } from './caller.ts'

export type Call =
  | { type: 'charge'; request: Charge }
  | { type: 'chargeMany'; requests: Charge[] }
  | { type: 'rotate' | 'disable' | 'enable' | 'revoke'; userId: string; id: string }
  | { type: 'provision'; userId: string }
/** `error` is SQLSTATE, reason or message of what a call was refused with. */
export type Result = { verdicts: Verdict[] } | { error: string } | { done: true }
export interface Work {
  calls: Call[]
  /** So many calls wait at a time. */
  inFlight: number
  lanes: 'all' | 'account'
}
export interface Worked {
  results: Result[]
  /** What the engine logged: a batch that was sent again, for one. */
  warnings: string[]
}

const POOL_CONNECTIONS = 5
const [url = ''] = process.argv.slice(2)
let warnings: string[] = []
const log = pino({ level: 'warn' }, { write: (line: string) => void warnings.push(line) })
const connections = { connectionsMax: POOL_CONNECTIONS }
const db = createDb(url, () => {}, connections)
const chargesDb = createDb(url, () => {}, connections)
const engines = {
  all: createMetering({ db: chargesDb, keyBrand: 'km', log, lanes: 'all' }),
  account: createMetering({ db: chargesDb, keyBrand: 'km', log, lanes: 'account' }),
}

process.on('message', async ({ calls, inFlight, lanes }: Work) => {
  const results: Result[] = []
  const waiting = [...calls.entries()]
  const client = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [i, call] = next
      results[i] = await perform(call, lanes).catch((error: unknown) => ({ error: describe(error) }))
    }
  }
  await Promise.all(Array.from({ length: inFlight }, client))
  process.send?.({ results, warnings } satisfies Worked)
  warnings = []
})
process.on('disconnect', () => process.exit())

async function perform(call: Call, lanes: Work['lanes']): Promise<Result> {
  if (call.type === 'charge') return { verdicts: [await engines[lanes].charge(call.request)] }
  if (call.type === 'chargeMany') return { verdicts: await engines[lanes].chargeMany(call.requests) }
  const { auth, keys } = await signedIn({ db }, call.userId)
  if (call.type === 'provision') await auth.provision()
  else if (call.type === 'rotate') await keys.rotate({ id: call.id })
  else await keys[call.type]({ id: call.id })
  return { done: true }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error && 'code' in error.cause) return String(error.cause.code)
  return 'reason' in error ? String(error.reason) : error.message
}
