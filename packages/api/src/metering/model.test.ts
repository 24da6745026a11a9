import { CHARGES_MAX, type Charge, KeyType } from '@keymeter/contract'
import { disagreements, testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { pino } from 'pino'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { contextOf, provisioned, SERVICE_KEY } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { Model, type ModelAccount, ModelKey } from '../../test/model.ts'
import { mintToken, parseToken } from '../keys/token.ts'
import { appRouter } from '../router.ts'
import { makeUsagePartitions } from './make-usage-partitions.ts'
import { createMetering } from './metering.ts'

// A failure prints fast-check's seed, path and replayPath, and the shortest steps that it found. To see it again, give
// `fc.assert` below `{ ...form, seed, path }` and `fc.commands` `{ maxCommands, size: 'max', replayPath }`.
const form = inject('isSoak') ? { numRuns: 1000, steps: 50 } : { numRuns: 40, steps: 40 }
const TIMEOUT_MS = inject('isSoak') ? 6 * 3_600_000 : 120_000

const SECOND_MS = 1000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const REMEMBERED_MS = 35 * DAY_MS
const ACCOUNTS_MAX = 3

const database = testDatabase()
const backend = appRouter.createCaller({ ...contextOf(database, null), authorization: `Bearer ${SERVICE_KEY}` })
const log = pino({ level: 'silent' })
const metering = {
  all: createMetering({ db: database.db, keyBrand: 'km', log }),
  account: createMetering({ db: database.db, keyBrand: 'km', log, lanes: 'account' }),
}
let clock: Awaited<ReturnType<typeof replaceClock>>
beforeAll(async () => {
  clock = await replaceClock(database)
})

/** The product, as the steps of one run use it. */
interface Real {
  callers: Map<string, Awaited<ReturnType<typeof provisioned>>['caller']>
}

/** One step on both. It says what to do by numbers alone, which are taken modulo what there is, so that it can shrink. */
class Step<Args> implements fc.AsyncCommand<Model, Real> {
  readonly #name: string
  readonly #args: Args
  readonly #run: (args: Args, model: Model, real: Real) => Promise<void>

  constructor(name: string, args: Args, run: (args: Args, model: Model, real: Real) => Promise<void>) {
    this.#name = name
    this.#args = args
    this.#run = run
  }

  check(): boolean {
    return true
  }

  async run(model: Model, real: Real): Promise<void> {
    steps++
    await this.#run(this.#args, model, real)
    await expectAgreement(model, real)
  }

  toString(): string {
    return `${this.#name} ${JSON.stringify(this.#args)}`
  }
}
let steps = 0
let runs = 0
const verdicts = new Map<string, number>()

function step<Args>(name: string, args: fc.Arbitrary<Args>, run: (args: Args, model: Model, real: Real) => Promise<void>) {
  return args.map((values) => new Step(name, values, run))
}

/** The `n`th of `all`, counted round and round. */
function pick<T>(all: readonly T[], n: number): T {
  const picked = all[n % all.length]
  if (picked === undefined) throw new Error('there is nothing to pick from')
  return picked
}

const iso = (moment: number) => new Date(moment).toISOString()
const callerOf = ({ callers }: Real, { userId }: ModelAccount) => {
  const caller = callers.get(userId)
  if (caller === undefined) throw new Error('no such account')
  return caller
}

async function signUp(model: Model, real: Real): Promise<void> {
  const { userId, caller, defaultKey } = await provisioned(database)
  real.callers.set(userId, caller)
  const account = model.signUp(userId, 1000)
  // The table's default is the real time's.
  await setAccount(account, 'billing_cycle_anchor = $2, billing_cycle_start = $2', iso(model.now))
  account.keys.push(new ModelKey(account, defaultKey.id, defaultKey.keyType, defaultKey.secret))
}

const nth = fc.nat(999)
/** Small ones often, and those that meet 1,000 credits and the limits below exactly. */
const credits = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(0, 1, 1, 2, 5) },
  { weight: 3, arbitrary: fc.constantFrom(10, 90, 100, 250, 500, 999, 1000, 1001) },
  { weight: 1, arbitrary: fc.constantFrom(Number.MAX_SAFE_INTEGER, 2 ** 52) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 400 }) },
)
const creditLimit = fc.constantFrom(null, 0, 1, 10, 100, 500, 1000, Number.MAX_SAFE_INTEGER)
const operation = fc.constantFrom('default', 'a', 'b', 'image:large')

const item = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('new' as const), secret: nth, credits, operation }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('again' as const),
      request: nth,
      // Of most conflicts one thing alone differs.
      differs: fc.constantFrom(null, null, null, 'credits' as const, 'operation' as const, 'secret' as const),
      secret: nth,
      credits,
      operation,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('verify' as const), secret: nth, operation }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('unknown' as const), account: nth, isNonsense: fc.boolean(), credits }),
  },
)
type Item = typeof item extends fc.Arbitrary<infer T> ? T : never

let idempotencyKeys = 0
function toRequest(wanted: Item, model: Model): Charge {
  const idempotencyKey = `k-${idempotencyKeys++}`
  if (wanted.kind === 'unknown') {
    const key = wanted.isNonsense ? 'nonsense' : mintToken('km', 'dev', pick(model.accounts, wanted.account).userId)
    return { key, credits: wanted.credits, idempotencyKey, operation: 'default' }
  }
  const { text: key } = pick(model.secrets, wanted.secret)
  if (wanted.kind === 'verify') return { key, credits: 0, idempotencyKey: null, operation: wanted.operation }
  if (wanted.kind === 'again' && model.requests.length > 0) {
    // The latest ones most: those just sent in this call too.
    const first = pick(model.requests.toReversed(), wanted.request % 2 === 0 ? (wanted.request >> 1) % 8 : wanted.request)
    if (wanted.differs === 'credits') return { ...first, credits: wanted.credits }
    if (wanted.differs === 'operation') return { ...first, operation: wanted.operation }
    return wanted.differs === 'secret' ? { ...first, key } : first
  }
  return { key, credits: wanted.credits, idempotencyKey, operation: wanted.operation }
}

/** Sends the requests, and expects the verdicts that the model has for them, one after the other. */
async function expectVerdicts(
  model: Model,
  requests: Charge[],
  send: (requests: Charge[]) => Promise<unknown[]>,
): Promise<void> {
  const expected = requests.map((request) => model.charge(request, parseToken('km', request.key)?.userId ?? null))
  for (const { verdict } of expected) verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1)
  expect(await send(requests)).toEqual(expected)
}

const lanes = fc.constantFrom('all' as const, 'account' as const)

const keyStep = (name: string, run: (key: ModelKey, caller: ReturnType<typeof callerOf>, model: Model) => Promise<void>) =>
  step(name, nth, async (n, model, real) => {
    const key = pick(model.keys, n)
    await run(key, callerOf(real, key.account), model)
  })

const changes = [
  step('sign up', fc.constant(null), async (_, model, real) => {
    if (model.accounts.length < ACCOUNTS_MAX) await signUp(model, real)
  }),
  step(
    'create a key',
    fc.record({
      account: nth,
      keyType: fc.constantFrom(...KeyType.options),
      creditLimit,
      expiresIn: fc.constantFrom(null, 60, 90_000),
    }),
    async ({ account: n, keyType, creditLimit, expiresIn }, model, real) => {
      const account = pick(model.accounts, n)
      const expiresAt = expiresIn === null ? null : model.now + expiresIn * SECOND_MS
      const created = await callerOf(real, account).keys.create({
        name: 'another',
        keyType,
        creditLimit,
        expiresAt: expiresAt === null ? null : iso(expiresAt),
      })
      const key = new ModelKey(account, created.id, keyType, created.secret)
      account.keys.push(Object.assign(key, { creditLimit, expiresAt }))
    },
  ),
  keyStep('revoke', async (key, caller) => {
    await caller.keys.revoke({ id: key.id })
    key.isRevoked = true
  }),
  keyStep('disable', async (key, caller) => {
    if (key.isRevoked) return await expectRevoked(caller.keys.disable({ id: key.id }))
    await caller.keys.disable({ id: key.id })
    key.isDisabled = true
  }),
  keyStep('enable', async (key, caller) => {
    if (key.isRevoked) return await expectRevoked(caller.keys.enable({ id: key.id }))
    await caller.keys.enable({ id: key.id })
    key.isDisabled = false
  }),
  keyStep('end the grace', async (key, caller, { now }) => {
    if (key.isRevoked) return await expectRevoked(caller.keys.endGrace({ id: key.id }))
    await caller.keys.endGrace({ id: key.id })
    for (const secret of key.secrets) if (secret.validUntil !== null) secret.validUntil = Math.min(secret.validUntil, now)
  }),
  step('rotate', fc.record({ key: nth, grace: fc.constantFrom(0, 1, 60, 86_400, 7 * 86_400) }), async (args, model, real) => {
    const key = pick(model.keys, args.key)
    const rotated = callerOf(real, key.account).keys.rotate({ id: key.id, graceSeconds: args.grace })
    if (key.isRevoked) return await expectRevoked(rotated)
    key.rotate((await rotated).secret, model.now, args.grace * SECOND_MS)
  }),
  step('change the limit', fc.record({ key: nth, creditLimit }), async ({ key: n, creditLimit }, model, real) => {
    const key = pick(model.keys, n)
    const updated = callerOf(real, key.account).keys.update({ id: key.id, creditLimit })
    if (key.isRevoked) return await expectRevoked(updated)
    await updated
    key.creditLimit = creditLimit
  }),
  step(
    'change the expiry',
    fc.record({ key: nth, expiresInMs: fc.constantFrom(null, 1, 1000, HOUR_MS, 40 * DAY_MS) }),
    async ({ key: n, expiresInMs }, model, real) => {
      const key = pick(model.keys, n)
      const expiresAt = expiresInMs === null ? null : model.now + expiresInMs
      const updated = callerOf(real, key.account).keys.update({
        id: key.id,
        expiresAt: expiresAt === null ? null : iso(expiresAt),
      })
      if (key.isRevoked) return await expectRevoked(updated)
      await updated
      key.expiresAt = expiresAt
    },
  ),
  step('change the credits', fc.record({ account: nth, free: fc.constantFrom(0, 1, 10, 500, 5000) }), async (args, model) => {
    const account = pick(model.accounts, args.account)
    account.creditsPerCycle = account.creditsUsed + args.free
    await setAccount(account, 'credits_per_cycle = $2', account.creditsPerCycle)
  }),
  step('suspend or resume', nth, async (n, model) => {
    const account = pick(model.accounts, n)
    account.isSuspended = !account.isSuspended
    await setAccount(account, 'suspended_at = $2', account.isSuspended ? iso(model.now) : null)
  }),
  step('make the partitions', fc.constant(null), async () => void (await makeUsagePartitions(database.db))),
]

const charges = [
  step('charge', item, async (wanted, model) => {
    const request = toRequest(wanted, model)
    if (request.idempotencyKey !== null) model.requests.push(request)
    // Only a verify may come without an idempotency key, and the schema says so before the engine does.
    await expectVerdicts(model, [request], async () => {
      const { requestId: _, ...verdict } = await backend.metering.charge(request)
      return [verdict]
    })
  }),
  step(
    'charge many',
    fc.record({ items: fc.array(item, { minLength: 2, maxLength: 12 }), lanes }),
    async ({ items, lanes }, model) => {
      const requests: Charge[] = []
      for (const wanted of items) {
        const request = toRequest(wanted, model)
        requests.push(request)
        if (request.idempotencyKey !== null) model.requests.push(request)
      }
      await expectVerdicts(model, requests, async () => await metering[lanes].chargeMany(requests))
    },
  ),
  step(
    'charge under many operations',
    fc.record({
      secret: nth,
      first: fc.constantFrom(0, 90),
      count: fc.constantFrom(5, 95, 99),
      credits: fc.constantFrom(0, 1),
      repeats: fc.nat(3),
      lanes,
    }),
    async ({ secret, first, count, credits, repeats, lanes }, model) => {
      const { text: key } = pick(model.secrets, secret)
      const requests = Array.from({ length: count }, (_, n) => ({
        key,
        credits,
        idempotencyKey: `k-${idempotencyKeys++}`,
        operation: `op-${first + n}`,
      }))
      // The last ones again, under a label that is known: a refusal that left no trace must not stand in their way.
      for (const request of requests.slice(-repeats - 1)) requests.push({ ...request, operation: `op-${first}` })
      model.requests.push(...requests)
      expect(requests.length).toBeLessThanOrEqual(CHARGES_MAX)
      await expectVerdicts(model, requests, async () => await metering[lanes].chargeMany(requests))
    },
  ),
]

/** Exactly onto what matters, a millisecond before and after. */
const offset = fc.constantFrom(-1, 0, 1)
const moveTo = async (model: Model, moment: number) => {
  model.now = moment
  await clock.set(new Date(moment))
}
const forward = async (model: Model, moment: number) => await moveTo(model, Math.max(model.now, moment))
const times = [
  step('wait', fc.constantFrom(1, 999, 60_001, 15 * 60_000, HOUR_MS, DAY_MS, 8 * DAY_MS), async (ms, model) => {
    await moveTo(model, model.now + ms)
  }),
  step(
    'wait for the end of the cycle',
    fc.record({ account: nth, offset, months: fc.constantFrom(1, 1, 1, 2, 4) }),
    async (args, model) => {
      const account = pick(model.accounts, args.account)
      await forward(model, account.boundary(account.cycle + args.months) + args.offset)
    },
  ),
  step('wait for the end of a secret or a key', fc.record({ end: nth, offset }), async (args, model) => {
    const ends = [...model.secrets.map(({ validUntil }) => validUntil), ...model.keys.map(({ expiresAt }) => expiresAt)]
    const ahead = ends.filter((end) => end !== null && end >= model.now)
    if (ahead.length > 0) await forward(model, (pick(ahead, args.end) ?? 0) + args.offset)
  }),
  step('wait until a request is forgotten', fc.record({ request: nth, offset }), async (args, model) => {
    const remembered = model.accounts.flatMap((account) => [...account.remembered.values()])
    if (remembered.length > 0) await forward(model, pick(remembered, args.request).at + REMEMBERED_MS + args.offset)
  }),
  step('turn the clock back', fc.constantFrom(1, 5000, HOUR_MS, 20 * DAY_MS), async (ms, model) => {
    await moveTo(model, model.now - ms)
  }),
]

async function expectRevoked(call: Promise<unknown>): Promise<void> {
  await expect(call).rejects.toMatchObject({ reason: 'key_revoked' })
}

async function setAccount({ userId }: ModelAccount, columns: string, value: unknown): Promise<void> {
  await database.owner.query(`update billing_accounts set ${columns} where user_id = $1`, [userId, value])
}

/** The three totals agree with each other, with the model, and with what a customer is shown. */
async function expectAgreement(model: Model, real: Real): Promise<void> {
  const userIds = model.accounts.map(({ userId }) => userId)
  const [faults, accounts, cycles, usage] = await Promise.all([
    disagreements(database, userIds),
    database.owner.query(
      `select credits_used::int as used, last_sequence::int as events, billing_cycle_start as start, billing_cycle_end as end,
              last_event_at as "lastEventAt"
         from billing_accounts where user_id = any($1) order by array_position($1, user_id)`,
      [userIds],
    ),
    database.owner.query(
      `select user_id as "userId", cycle_start as start, cycle_end as end, credits_granted::int as granted, credits_used::int as used
         from billing_cycles where user_id = any($1) order by array_position($1, user_id), cycle_start`,
      [userIds],
    ),
    database.owner.query(
      `select api_key_id as "keyId", cycle_start as start, credits_charged::int as credits, charges::int
         from api_key_cycle_usage where user_id = any($1) order by api_key_id, cycle_start`,
      [userIds],
    ),
  ])
  expect(faults).toEqual([])
  expect(accounts.rows).toEqual(
    model.accounts.map((account) => ({
      used: account.creditsUsed,
      events: account.events,
      start: new Date(account.cycleStart),
      end: new Date(account.cycleEnd),
      lastEventAt: account.lastEventAt === null ? null : new Date(account.lastEventAt),
    })),
  )
  expect(cycles.rows).toEqual(
    model.accounts.flatMap(({ userId, closed }) =>
      closed.map((cycle) => ({ ...cycle, userId, start: new Date(cycle.start), end: new Date(cycle.end) })),
    ),
  )
  expect(usage.rows).toEqual(
    model.keys
      .flatMap((key) => [...key.used].map(([start, used]) => ({ keyId: key.id, start: new Date(start), ...used })))
      .toSorted((a, b) => (a.keyId === b.keyId ? Number(a.start) - Number(b.start) : a.keyId < b.keyId ? -1 : 1)),
  )
  for (const account of model.accounts) await expectShown(account, callerOf(real, account), model.now)
}

/** What `keys.usage` shows of the current cycle, and of each closed one that something was charged in. */
async function expectShown(account: ModelAccount, caller: ReturnType<typeof callerOf>, now: number): Promise<void> {
  const live = account.keys.filter(({ isRevoked }) => !isRevoked)
  const inCycle = (start: number) => Object.fromEntries(live.map((key) => [key.id, key.usedIn(start)]))
  const shown = ({ data }: Awaited<ReturnType<typeof caller.keys.usage>>) =>
    Object.fromEntries(data.map(({ id, creditsUsed }) => [id, creditsUsed]))
  const current = await caller.keys.usage()
  const { billingCycle } = current
  expect(shown(current)).toEqual(inCycle(Date.parse(billingCycle?.start ?? '')))
  // A clock that was turned back before the account's first cycle shows that one.
  const isIn =
    Date.parse(billingCycle?.start ?? '') <= Math.max(now, account.anchor) && now < Date.parse(billingCycle?.end ?? '')
  expect(isIn).toBe(true)
  const starts = account.closed.filter(({ start, used }) => used > 0 && start <= now).map(({ start }) => start)
  for (const start of starts) expect(shown(await caller.keys.usage({ cycleStart: iso(start) }))).toEqual(inCycle(start))
}

const starts = fc.constantFrom(
  '2026-01-31T10:20:30.456Z',
  '2028-01-31T23:59:59.999Z',
  '2028-02-29T00:00:00.000Z',
  '2026-12-30T12:00:00.001Z',
  '2027-04-30T00:00:00.000Z',
  '2026-11-15T08:00:00.000Z',
)

describe('the charge engine', () => {
  it(
    'decides as the model does, whatever happens in whatever order, and its totals agree after each step',
    async () => {
      const property = fc.asyncProperty(
        starts,
        fc.commands([...charges, ...charges, ...charges, ...charges, ...changes, ...times], {
          maxCommands: form.steps,
          size: 'max',
        }),
        async (start, commands) => {
          await clock.set(new Date(start))
          await fc.asyncModelRun(async () => {
            const model = new Model(Date.parse(start))
            const real: Real = { callers: new Map() }
            await signUp(model, real)
            return { model, real }
          }, commands)
          runs++
        },
      )
      await fc.assert(property, { numRuns: form.numRuns })
      if (inject('isSoak')) console.info(`${runs} runs of ${steps} steps`, Object.fromEntries(verdicts))
    },
    TIMEOUT_MS,
  )
})
