import { CHARGES_MAX, KeyType, SECRETS_WORKING_MAX } from '@keymeter/contract'
import { testDatabase } from '@keymeter/local/testing'
import fc from 'fast-check'
import { pino } from 'pino'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { alertsOf, creditsLeftOf } from '../../test/alerts-of.ts'
import { backend as backendOf, provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { Model, type ModelAccount, ModelKey, type ModelRequest, type ModelVerdict, PLANS } from '../../test/model.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'
import { mintToken, parseToken } from '../keys/token.ts'
import { makeUsagePartitions } from '../maintenance/make-usage-partitions.ts'
import { reconcile } from '../maintenance/reconcile.ts'
import { Metering } from './metering.ts'

// If the test fails, fast-check prints its seed, path and replayPath, and the shortest failing steps. To repeat the failure,
// pass `{ numRuns, seed, path }` to `fc.assert` below and `{ maxCommands, size: 'max', replayPath }` to `fc.commands`.
// Each run has between 0 and `stepsMax` steps, all numbers with the same probability. So the average is half of `stepsMax`.
const form = inject('isSoak') ? { numRuns: 1000, stepsMax: 100 } : { numRuns: 25, stepsMax: 40 }

/** Verdicts that occur in few runs. Each of them must occur in at least one of the 1,000 runs of the long form. */
const RARE = [
  'settle: settled late',
  'settle: settled above its hold',
  'settle: settled above its hold late',
  'settle: settled in part',
  'settle: settled in part late',
  'release: released late',
  'refund: refunded late',
  'settle: conflict',
  'alert: percent again',
  'alert: credits_left again',
]

const SECOND_MS = 1000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const REMEMBERED_MS = 35 * DAY_MS
const ACCOUNTS_MAX = 3

const database = testDatabase()
const backend = backendOf(database)
const log = pino({ level: 'silent' })
const metering = new Metering({ db: database.db, keyBrand: 'km', log })
let clock: Awaited<ReturnType<typeof replaceClock>>
beforeAll(async () => {
  clock = await replaceClock(database)
  await keepUsageByDaysFrom(database, 1)
  for (const [plan, credits] of Object.entries(PLANS))
    await database.owner.query('insert into plans (plan, credits_per_cycle) values ($1, $2) on conflict do nothing', [
      plan,
      credits,
    ])
})

/** The callers of the product that the steps of one run use, by account id. */
interface Real {
  callers: Map<string, Awaited<ReturnType<typeof provisioned>>['caller']>
}

/**
 * A step that changes the model and the product in the same way. It contains numbers instead of ids: number n means the nth
 * key or account, modulo how many exist. So the step stays valid when fast-check removes other steps.
 */
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

/** Returns element number `n` of `all`, modulo the length of `all`. */
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

async function topUp(model: Model, account: ModelAccount, credits: number): Promise<void> {
  const grant = { accountId: account.userId, credits, idempotencyKey: `t-${idempotencyKeys++}` }
  account.turn(model.now)
  account.topUp(credits, grant.idempotencyKey)
  expect(await backend.operator.grantTopUp(grant)).toMatchObject({ replayed: false })
  expect(await backend.operator.grantTopUp(grant)).toMatchObject({ replayed: true })
}

async function signUp(model: Model, real: Real): Promise<void> {
  const { userId, caller, defaultKey } = await provisioned(database)
  real.callers.set(userId, caller)
  const account = model.signUp(userId, 1000)
  // Set the anchor to the time of the test’s clock, because the default of the column uses the real time.
  await setAccount(account, 'billing_cycle_anchor = $2, billing_cycle_start = $2', iso(model.now))
  account.keys.push(new ModelKey(account, defaultKey.id, defaultKey.keyType, defaultKey.secret))
}

const nth = fc.nat(999)
/**
 * Numbers of credits: mostly small numbers, and numbers that exactly use up 1,000 credits or one of the limits in
 * `creditLimit`.
 */
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
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('hold' as const),
      secret: nth,
      credits: credits.filter((held) => held > 0),
      operation,
      ttlSeconds: fc.constantFrom(1, 60, 3600, 3600, 7 * 86_400, 7 * 86_400),
    }),
  },
  {
    weight: 3,
    // In three of eight cases, the settle asks for more credits than the hold has.
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      event: nth,
      part: fc.constantFrom(0, 0.5, 1, 1, 1, 1.01, 2, 20),
      isMost: fc.integer({ min: 0, max: 19 }).map((n) => n === 0),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const), event: nth }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('refund' as const), event: nth, part: fc.constantFrom(0.1, 0.5, 1, 1.01) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('again' as const),
      request: nth,
      // Null means a retry of the same request. Otherwise the request differs from the first request in this field.
      differs: fc.constantFrom(null, null, null, 'credits' as const, 'operation' as const, 'secret' as const, 'ttl' as const),
      secret: nth,
      credits: credits.filter((asked) => asked > 0),
      operation,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('verify' as const), secret: nth, operation }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('unknown' as const),
      account: nth,
      isNonsense: fc.boolean(),
      credits,
      isEvent: fc.boolean(),
    }),
  },
)
type Item = typeof item extends fc.Arbitrary<infer T> ? T : never

let idempotencyKeys = 0
function toRequest(wanted: Item, model: Model): ModelRequest {
  const idempotencyKey = `k-${idempotencyKeys++}`
  const charge = { action: 'charge' as const, idempotencyKey, operation: 'default' }
  if (wanted.kind === 'unknown') {
    const { userId } = pick(model.accounts, wanted.account)
    if (wanted.isEvent) return { action: 'refund', chargeId: eventId('charge', userId, 1_000_000), credits: 1, idempotencyKey }
    const key = wanted.isNonsense ? 'nonsense' : mintToken('km', 'dev', userId)
    return { ...charge, key, credits: wanted.credits }
  }
  // Returns one of the last 8 elements if `n` is even, and any element if `n` is odd. So most requests are about recent
  // events.
  const lately = <T>(all: T[], n: number): T => pick(all.toReversed(), n % 2 === 0 ? (n >> 1) % 8 : n)
  if (wanted.kind === 'settle' || wanted.kind === 'release') {
    const open = model.holds.filter(({ outcome, expiresAt }) => outcome === null && expiresAt > model.now)
    // Choose from all holds in one of four cases, and from the open holds in the other cases. If there is no hold to choose
    // from, make a hold instead.
    const holds = wanted.event % 4 > 0 ? open : model.holds
    if (holds.length === 0) {
      const ttlSeconds = 7 * 86_400
      return { ...charge, action: 'hold', key: pickSecret(model, wanted.event), credits: 10, ttlSeconds }
    }
    const { id: holdId, credits } = lately(holds, wanted.event >> 2)
    if (wanted.kind === 'release') return { action: 'release', holdId, idempotencyKey }
    const asked = wanted.isMost ? Number.MAX_SAFE_INTEGER : Math.ceil(credits * wanted.part)
    return { action: 'settle', holdId, credits: Math.min(Number.MAX_SAFE_INTEGER, asked), idempotencyKey }
  }
  if (wanted.kind === 'refund' && model.charges.length > 0) {
    const { id: chargeId, credits } = lately(model.charges, wanted.event)
    return { action: 'refund', chargeId, credits: Math.max(1, Math.ceil(credits * wanted.part)), idempotencyKey }
  }
  if (wanted.kind === 'refund') return { ...charge, key: pickSecret(model, wanted.event), credits: 1 }
  const key = pickSecret(model, wanted.secret)
  if (wanted.kind === 'verify') return { ...charge, key, credits: 0, idempotencyKey: null, operation: wanted.operation }
  if (wanted.kind === 'hold') {
    const { credits, operation, ttlSeconds } = wanted
    return { action: 'hold', key, credits, idempotencyKey, operation, ttlSeconds }
  }
  if (wanted.kind === 'again' && model.requests.length > 0) {
    const first = lately(model.requests, wanted.request)
    if (wanted.differs === 'credits' && 'credits' in first) return { ...first, credits: wanted.credits }
    if (wanted.differs === 'operation' && 'operation' in first) return { ...first, operation: wanted.operation }
    if (wanted.differs === 'ttl' && 'ttlSeconds' in first) return { ...first, ttlSeconds: 61 }
    return wanted.differs === 'secret' && 'key' in first ? { ...first, key } : first
  }
  return { ...charge, key, credits: wanted.credits, operation: wanted.operation }
}

/** Returns the id of an event, encoded as the charge engine encodes it. */
function eventId(kind: string, userId: string, sequence: number): string {
  return `${kind}_${Buffer.from(userId.replaceAll('-', '') + sequence.toString(16).padStart(16, '0'), 'hex').toString('base64url')}`
}

/** Returns the id of the account that the token or the event id of a request contains. */
function accountOf(request: ModelRequest): string | null {
  if (request.action === 'charge' || request.action === 'hold') return parseToken('km', request.key)?.userId ?? null
  const id = request.action === 'refund' ? request.chargeId : request.holdId
  const hex = Buffer.from(id.slice(id.indexOf('_') + 1), 'base64url').toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
}

/**
 * Returns a secret that works in three of four cases, and any secret in the other cases. Without this choice, most secrets
 * would belong to revoked keys, and most requests would be refused.
 */
function pickSecret({ keys, secrets, now }: Model, n: number): string {
  const isOver = (end: number | null) => end !== null && end <= now
  const working = keys
    .filter((key) => !key.isRevoked && !key.isDisabled && !key.account.isSuspended && !isOver(key.expiresAt))
    .flatMap((key) => key.secrets.filter(({ validUntil }) => !isOver(validUntil)))
  return pick(n % 4 > 0 && working.length > 0 ? working : secrets, n >> 2).text
}

/** Calls the procedure that the request’s field `action` names, with the other fields of the request as its input. */
function sendTo(to: Omit<Metering, 'chargeMany'>, { action, ...request }: ModelRequest): Promise<object> {
  return (to[action] as (request: unknown) => Promise<object>).call(to, request)
}

/** Sends the requests to the product and to the model, and expects the same verdicts in the same order. */
async function expectVerdicts(
  model: Model,
  requests: ModelRequest[],
  send: (requests: ModelRequest[]) => Promise<unknown[]>,
): Promise<void> {
  const expected = requests.map((request) => model.decide(request, accountOf(request)))
  for (const [i, request] of requests.entries()) {
    const answer = expected[i]
    if (answer === undefined) continue
    const name = `${request.action}: ${answer.verdict}${howSettled(request, answer, model)}${isLate(request, model) ? ' late' : ''}`
    verdicts.set(name, (verdicts.get(name) ?? 0) + 1)
  }
  expect(await send(requests)).toEqual(expected)
}

/** Names a settle that asks for more credits than its hold has: it is charged completely, or only in part. */
function howSettled(request: ModelRequest, answer: ModelVerdict, { holds }: Model): string {
  if (request.action !== 'settle' || answer.verdict !== 'settled') return ''
  if (answer.uncollected > 0) return ' in part'
  return request.credits > (holds.find(({ id }) => id === request.holdId)?.credits ?? 0) ? ' above its hold' : ''
}

/** Returns true if the request is about a hold or a charge of an ended cycle. */
function isLate(request: ModelRequest, { holds, charges }: Model): boolean {
  const event =
    'holdId' in request
      ? holds.find(({ id }) => id === request.holdId)
      : 'chargeId' in request && charges.find(({ id }) => id === request.chargeId)
  return event ? event.cycle !== event.account.cycle : false
}

const keyStep = (name: string, run: (key: ModelKey, caller: ReturnType<typeof callerOf>, model: Model) => Promise<void>) =>
  step(name, nth, async (n, model, real) => {
    const key = pick(model.keys, n)
    await run(key, callerOf(real, key.account), model)
  })

async function changePlan(model: Model, account: ModelAccount, plan: string): Promise<void> {
  account.turn(model.now)
  account.changePlan(plan)
  await backend.operator.changePlan({ accountId: account.userId, plan })
}

async function setAlerts(real: Real, account: ModelAccount, thresholds: number[], creditsLeft?: number[]): Promise<void> {
  account.thresholds = thresholds
  if (creditsLeft !== undefined) account.creditsLeft = creditsLeft
  await callerOf(real, account).alerts.setThresholds({ thresholds, creditsLeft })
}

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
    if (key.expiresAt !== null && key.expiresAt <= model.now) {
      return await expect(rotated).rejects.toMatchObject({ reason: 'bad_request', issues: [{ field: 'expiresAt' }] })
    }
    const previous = key.secrets.filter(({ validUntil }) => validUntil !== null && validUntil > model.now)
    if (previous.length + (args.grace > 0 ? 1 : 0) >= SECRETS_WORKING_MAX) {
      return await expect(rotated).rejects.toMatchObject({ reason: 'too_many_secrets' })
    }
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
    account.setGranted(account.current.used + account.heldIn(account.cycle) + args.free)
    await setAccount(account, 'credits_per_cycle = $2', account.current.granted)
    await database.owner.query('select keymeter.begin_alert_period($1, true)', [account.userId])
  }),
  step('suspend or resume', nth, async (n, model) => {
    const account = pick(model.accounts, n)
    account.isSuspended = !account.isSuspended
    await backend.operator[account.isSuspended ? 'suspend' : 'resume']({ accountId: account.userId })
  }),
  step('top up', fc.record({ account: nth, credits: fc.constantFrom(1, 50, 700) }), async (args, model) => {
    await topUp(model, pick(model.accounts, args.account), args.credits)
  }),
  step(
    'take a top-up back',
    fc.record({ account: nth, topUp: nth, credits: fc.constantFrom(null, null, 1, 30, 700) }),
    async (args, model) => {
      const account = pick(model.accounts, args.account)
      if (account.grants.length === 0) return
      account.turn(model.now)
      const topUp = pick(account.grants, args.topUp)
      const { credits } = args
      const request = {
        accountId: account.userId,
        topUpIdempotencyKey: topUp.idempotencyKey,
        credits,
        idempotencyKey: `t-${idempotencyKeys++}`,
      }
      const expected = account.takeBack(topUp, credits)
      expect(await backend.operator.takeBackTopUp(request)).toMatchObject({ ...expected, replayed: false })
      expect(await backend.operator.takeBackTopUp(request)).toMatchObject({ ...expected, replayed: true })
    },
  ),
  step('change the plan', fc.record({ account: nth, plan: fc.constantFrom(...Object.keys(PLANS)) }), async (args, model) => {
    await changePlan(model, pick(model.accounts, args.account), args.plan)
  }),
  step(
    'set the alerts',
    fc.record({
      account: nth,
      thresholds: fc.uniqueArray(fc.constantFrom(1, 10, 50, 80, 99, 100, 150), { maxLength: 4 }),
      creditsLeft: fc.option(fc.uniqueArray(fc.constantFrom(0, 1, 10, 100, 500, 900, 999, 5000), { maxLength: 4 }), {
        nil: undefined,
      }),
    }),
    async ({ account: n, thresholds, creditsLeft }, model, real) => {
      await setAlerts(real, pick(model.accounts, n), thresholds, creditsLeft)
    },
  ),
  step('make the partitions', fc.constant(null), async () => void (await makeUsagePartitions(database.db))),
]

const charges = [
  step('ask', item, async (wanted, model) => {
    const request = toRequest(wanted, model)
    if (request.idempotencyKey !== null) model.requests.push(request)
    // Send the request through the router. Its input schema allows a request without an idempotency key only if the request
    // is a verify.
    await expectVerdicts(model, [request], async () => {
      const { requestId: _, ...verdict } = (await sendTo(backend.metering as unknown as Metering, request)) as {
        requestId: string
      }
      return [verdict]
    })
  }),
  step('ask for many things at once', fc.array(item, { minLength: 2, maxLength: 12 }), async (items, model) => {
    const requests: ModelRequest[] = []
    for (const wanted of items) {
      const request = toRequest(wanted, model)
      requests.push(request)
      if (request.idempotencyKey !== null) model.requests.push(request)
    }
    await expectVerdicts(model, requests, async () => await Promise.all(requests.map((request) => sendTo(metering, request))))
  }),
]

/** The number of milliseconds before or after a time at which something changes, e.g. the end of a cycle. */
const offset = fc.constantFrom(-1, 0, 1)
const moveTo = async (model: Model, moment: number) => {
  model.now = moment
  await clock.set(new Date(moment))
}
const forward = async (model: Model, moment: number) => await moveTo(model, Math.max(model.now, moment))

/** Steps that send a sequence of requests that random steps rarely produce. */
const courses = [
  step(
    'charge under many operations',
    fc.record({
      secret: nth,
      first: fc.constantFrom(0, 90),
      count: fc.constantFrom(5, 95, 99),
      credits: fc.constantFrom(0, 1),
      repeats: fc.nat(3),
    }),
    async ({ secret, first, count, credits, repeats }, model) => {
      const key = pickSecret(model, secret)
      const requests = Array.from({ length: count }, (_, n) => ({
        action: 'charge' as const,
        key,
        credits,
        idempotencyKey: `k-${idempotencyKeys++}`,
        operation: `op-${first + n}`,
      }))
      // Repeat the last requests with a known operation and the same idempotency keys. If a last request was refused and
      // not remembered, its repetition must be decided like a new request.
      for (const request of requests.slice(-repeats - 1)) requests.push({ ...request, operation: `op-${first}` })
      model.requests.push(...requests)
      expect(requests.length).toBeLessThanOrEqual(CHARGES_MAX)
      await expectVerdicts(
        model,
        requests,
        async () => await metering.chargeMany(requests.map(({ action: _, ...charge }) => charge)),
      )
    },
  ),
  step(
    'reach thresholds, get credits, and reach thresholds again',
    fc.record({
      secret: nth,
      parts: fc.array(fc.constantFrom(0.5, 0.9, 1, 1.01), { minLength: 2, maxLength: 3 }),
      gets: fc.constantFrom(1, 50, 100, 700, 'small', 'large'),
      creditsLeft: fc.constantFrom<(number[] | undefined)[]>(undefined, [100, 0], [500, 60, 20]),
    }),
    async ({ secret, parts, gets, creditsLeft }, model, real) => {
      const key = pickSecret(model, secret)
      const account = model.accounts.find(({ userId }) => userId === parseToken('km', key)?.userId)
      if (account === undefined) throw new Error('a secret of nobody')
      if (creditsLeft !== undefined) await setAlerts(real, account, account.thresholds, creditsLeft)
      for (const part of parts) {
        account.turn(model.now)
        const credits = Math.max(1, Math.ceil(account.remaining * part))
        const charge = {
          action: 'charge' as const,
          key,
          credits,
          idempotencyKey: `k-${idempotencyKeys++}`,
          operation: 'default',
        }
        model.requests.push(charge)
        await expectVerdicts(model, [charge], async () => [await sendTo(metering, charge)])
        if (typeof gets === 'number') await topUp(model, account, gets)
        else await changePlan(model, account, gets)
      }
    },
  ),
  step('hold over the end of the cycle', fc.record({ secret: nth, credits, offset }), async (args, model) => {
    const key = pickSecret(model, args.secret)
    const account = model.accounts.find(({ userId }) => userId === parseToken('km', key)?.userId)
    if (account === undefined) throw new Error('a secret of nobody')
    await forward(model, account.asOf(model.now).cycleEnd - HOUR_MS)
    const hold = { key, credits: Math.max(1, args.credits), idempotencyKey: `k-${idempotencyKeys++}`, operation: 'default' }
    const request: ModelRequest = { action: 'hold', ...hold, ttlSeconds: 7 * 86_400 }
    model.requests.push(request)
    await expectVerdicts(model, [request], async () => [await sendTo(metering, request)])
    await forward(model, account.cycleEnd + args.offset)
  }),
  step(
    'settle more than two holds have',
    fc.record({
      secret: nth,
      held: fc.constantFrom(1, 10, 90),
      more: fc.constantFrom(0, 1, 10, 300, 1000, 1001, 5000, Number.MAX_SAFE_INTEGER),
      spent: credits,
      isLate: fc.boolean(),
      // The limit of the key, or `keep` to leave it as it is.
      creditLimit: fc.constantFrom('keep' as const, 'keep' as const, null, 100, 500),
      topUpsBefore: fc.constantFrom(0, 50),
      topUpsAfter: fc.constantFrom(0, 50),
    }),
    async ({ secret, held, more, spent, isLate, creditLimit, topUpsBefore, topUpsAfter }, model, real) => {
      const key = pickSecret(model, secret)
      const owner = model.keys.find(({ secrets }) => secrets.some(({ text }) => text === key))
      if (owner === undefined) throw new Error('a secret of nobody')
      const { account } = owner
      const send = async (requests: ModelRequest[]) => {
        model.requests.push(...requests)
        await expectVerdicts(model, requests, async () => await Promise.all(requests.map((one) => sendTo(metering, one))))
      }
      const next = () => ({ idempotencyKey: `k-${idempotencyKeys++}`, operation: 'a' })
      const hold = () => ({ ...next(), action: 'hold' as const, key, credits: held, ttlSeconds: 86_400 })
      if (isLate) await forward(model, account.asOf(model.now).cycleEnd - HOUR_MS)
      if (creditLimit !== 'keep' && !owner.isRevoked) {
        await callerOf(real, account).keys.update({ id: owner.id, creditLimit })
        owner.creditLimit = creditLimit
      }
      if (topUpsBefore > 0) await topUp(model, account, topUpsBefore)
      const before = model.holds.length
      await send([hold(), hold()])
      if (isLate) await forward(model, account.cycleEnd)
      if (topUpsAfter > 0) await topUp(model, account, topUpsAfter)
      const settles = model.holds.slice(before).map(({ id: holdId, credits }) => {
        const { idempotencyKey } = next()
        return { idempotencyKey, action: 'settle' as const, holdId, credits: Math.min(Number.MAX_SAFE_INTEGER, credits + more) }
      })
      await send([{ ...next(), action: 'charge', key, credits: spent }, ...settles])
    },
  ),
]

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
  step('wait for the end of a hold', fc.record({ hold: nth, offset }), async (args, model) => {
    const ahead = model.holds.filter(({ outcome, expiresAt }) => outcome === null && expiresAt >= model.now)
    if (ahead.length > 0) await forward(model, pick(ahead, args.hold).expiresAt + args.offset)
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

/** Expects that the product’s totals equal each other, the model’s totals, and the numbers that a customer sees. */
async function expectAgreement(model: Model, real: Real): Promise<void> {
  const userIds = model.accounts.map(({ userId }) => userId)
  const [faults, accounts, cycles, usage] = await Promise.all([
    reconcile(database.ownerDb, { userIds }),
    database.owner.query(
      `select credits_used::int as used, credits_held::int as held, top_up_balance::int as "topUps", last_event_sequence::int as events,
              billing_cycle_start as start, billing_cycle_end as end, last_event_at as "lastEventAt"
         from billing_accounts where user_id = any($1) order by array_position($1, user_id)`,
      [userIds],
    ),
    database.owner.query(
      `select user_id as "userId", cycle_start as start, cycle_end as end, plan, credits_granted::int as granted, credits_used::int as used,
              credits_held::int as held, credits_topped_up::int as "toppedUp"
         from billing_cycles where user_id = any($1) order by array_position($1, user_id), cycle_start`,
      [userIds],
    ),
    database.owner.query(
      `select api_key_id as "keyId", cycle_start as start, credits_charged::int as credits, charges::int, credits_held::int as held
         from usage_by_cycle where user_id = any($1) order by api_key_id, cycle_start`,
      [userIds],
    ),
  ])
  expect(faults).toEqual([])
  expect(accounts.rows).toEqual(
    model.accounts.map((account) => ({
      used: account.current.used,
      held: account.heldIn(account.cycle),
      topUps: account.topUps,
      events: account.events,
      start: new Date(account.cycleStart),
      end: new Date(account.cycleEnd),
      lastEventAt: account.lastEventAt === null ? null : new Date(account.lastEventAt),
    })),
  )
  expect(cycles.rows).toEqual(
    model.accounts.flatMap((account) =>
      account.cycles.slice(0, -1).map((cycle, k) => ({
        ...cycle,
        userId: account.userId,
        start: new Date(account.boundary(k)),
        end: new Date(account.boundary(k + 1)),
        held: account.heldIn(k),
      })),
    ),
  )
  expect(usage.rows).toEqual(
    model.keys
      .flatMap((key) =>
        [...key.used].map(([cycle, used]) => ({
          keyId: key.id,
          start: new Date(key.account.boundary(cycle)),
          held: key.heldIn(cycle),
          ...used,
        })),
      )
      .toSorted((a, b) => (a.keyId === b.keyId ? Number(a.start) - Number(b.start) : a.keyId < b.keyId ? -1 : 1)),
  )
  // Check these answers for only one account after each step, to save time.
  const account = pick(model.accounts, steps)
  const caller = callerOf(real, account)
  await expectShown(account, caller, model.now)
  await expectBilling(account.asOf(model.now), caller)
}

/**
 * Expects that `keys.usage` shows the model’s usage of the current cycle and of each cycle with usage, and that the days of
 * `usage.timeseries` add up to the same usage.
 */
async function expectShown(account: ModelAccount, caller: ReturnType<typeof callerOf>, now: number): Promise<void> {
  const live = account.keys.filter(({ isRevoked }) => !isRevoked)
  const inCycle = (start: number) =>
    Object.fromEntries(
      live.map((key) => [
        key.id,
        sumOf([...key.used].map(([cycle, used]) => (account.boundary(cycle) === start ? used.credits : 0))),
      ]),
    )
  const shown = ({ data }: Awaited<ReturnType<typeof caller.keys.usage>>) =>
    Object.fromEntries(data.map(({ id, creditsUsed }) => [id, creditsUsed]))
  const current = await caller.keys.usage()
  const { cycleStart, cycleEnd } = account.asOf(now)
  expect(current.billingCycle).toEqual({ start: iso(cycleStart), end: iso(cycleEnd) })
  expect(shown(current)).toEqual(inCycle(cycleStart))
  for (const [k, { used }] of account.cycles.entries()) {
    const start = account.boundary(k)
    if (used === 0 || start > now) continue
    const byKey = shown(await caller.keys.usage({ cycleStart: iso(start) }))
    expect(byKey).toEqual(inCycle(start))
    const { series } = await caller.usage.timeseries({ cycleStart: iso(start), timeZone: 'Asia/Kathmandu' })
    expect(sumOf(series.flatMap(({ credits }) => credits))).toBe(used)
    const days = new Map(series.map(({ keyId, credits }) => [keyId, sumOf(credits)]))
    for (const [id, credits] of Object.entries(byKey)) expect(days.get(id) ?? 0).toBe(credits)
  }
}

/** Expects that the product’s balance, ledger and alerts equal those of the model. */
async function expectBilling(account: ModelAccount, caller: ReturnType<typeof callerOf>): Promise<void> {
  const { current, cycle } = account
  expect((await caller.billing.get()).account).toEqual({
    plan: current.plan,
    nextPlan: account.nextPlan,
    freeCreditsRefusal: null,
    creditsPerCycle: current.granted,
    topUps: account.topUps,
    creditsUsed: current.used,
    creditsHeld: account.heldIn(cycle),
    creditsRemaining: account.remaining,
    suspendedAt: account.isSuspended ? expect.any(String) : null,
    closedAt: null,
    billingCycle: { start: iso(account.cycleStart), end: iso(account.cycleEnd) },
  })
  const ledger = await caller.billing.ledger()
  expect(ledger.balance).toBe(account.remaining)
  expect(sumOf(ledger.entries.map(({ credits }) => credits))).toBe(account.remaining)
  if (ledger.previousCycleStart !== null) {
    const before = await caller.billing.ledger({ cycleStart: ledger.previousCycleStart })
    expect(sumOf(before.entries.map(({ credits }) => credits))).toBe(account.carriedInto(cycle))
  }
  const { data, thresholds, creditsLeft } = await caller.alerts.list()
  expect(thresholds).toEqual(account.thresholds.toSorted((a, b) => a - b))
  expect(creditsLeft).toEqual(
    creditsLeftOf({ creditsLeft: account.creditsLeft, granted: current.granted }).toSorted((a, b) => b - a),
  )
  const fired = data.map(
    ({ cycleStart, kind, threshold, plan, creditsPerCycle }) => `${cycleStart} ${kind} ${threshold} ${plan} ${creditsPerCycle}`,
  )
  const expected = alertsOf(account.alertHistory).map(
    ({ cycle, kind, threshold, plan, granted }) => `${iso(account.boundary(cycle))} ${kind} ${threshold} ${plan} ${granted}`,
  )
  for (const alert of expected) {
    const isAgain =
      expected.filter((other) => other.split(' ').slice(0, 3).join() === alert.split(' ').slice(0, 3).join()).length > 1
    const name = `alert: ${alert.split(' ')[1]}${isAgain ? ' again' : ''}`
    verdicts.set(name, (verdicts.get(name) ?? 0) + 1)
  }
  expect(fired.toSorted()).toEqual(expected.toSorted())
  for (const { kind, threshold, creditsUsed, creditsPerCycle, creditsLeft } of data) {
    if (kind === 'percent') expect(creditsUsed * 100).toBeGreaterThanOrEqual(threshold * creditsPerCycle)
    // A refusal counts as reaching 0, and the alert then contains what was left.
    else if (threshold > 0) expect(creditsLeft).toBeLessThanOrEqual(threshold)
  }
}

function sumOf(numbers: number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0)
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
  it('returns the verdicts of the model for any calls in any order, and its totals equal those of the model after each step', async () => {
    const property = fc.asyncProperty(
      starts,
      fc.commands(
        [...Array.from({ length: 6 }, () => charges), ...Array.from({ length: 3 }, () => courses), changes, times].flat(),
        { maxCommands: form.stepsMax, size: 'max' },
      ),
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
    expect(runs).toBe(form.numRuns)
    if (!inject('isSoak')) return
    // The average run must have nearly half of `stepsMax` steps. If runs were much shorter, the test would check too
    // little.
    expect(steps / runs).toBeGreaterThan(0.45 * form.stepsMax)
    console.info(`${runs} runs of ${steps} steps`, Object.fromEntries(verdicts))
    for (const name of RARE) expect([name, verdicts.get(name)]).toEqual([name, expect.any(Number)])
  })
})
