import type { appRouter } from '../src/router.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** For this many days before today, the keys are charged in every hour. Before that, they are charged every 6 hours. */
const HOURLY_DAYS = 4
const RARE_HOURS = 6
/** The customer gets an alert when this number of credits is left. */
const CREDITS_LEFT_ALERT = 250
/** At night, the keys are charged less. The index is the hour of the day, in UTC. */
const BUSY = [1, 1, 1, 1, 1, 2, 4, 7, 9, 10, 9, 7, 8, 10, 9, 8, 6, 5, 4, 3, 3, 2, 2, 1]
const BUSY_SUM = BUSY.reduce((sum, busy) => sum + busy)
const WEEKEND = 0.4
const MULTIPLIER = 1_664_525
const INCREMENT = 1_013_904_223
const MODULUS = 2 ** 32

type Caller = ReturnType<typeof appRouter.createCaller>

interface Demo {
  /** The starts of the first and of the second billing cycle. The second one contains `now`. */
  start: Date
  secondStart: Date
  now: Date
  /** The idempotency key of the last charge. */
  last: string
  accountId: string
  /** Calls the API as the demo user. */
  customer: Caller
  /** Calls the API with the service key. */
  company: Caller
  setPlan: (plan: { plan: string; creditsPerCycle: number }) => Promise<void>
  /** Sets the time at which the next calls happen. */
  setClock: (time: Date) => Promise<void>
}

/** Usage of one key. */
interface Traffic {
  key: string
  /** The charged credits in a day of work, by operation, in the first and in the second billing cycle. */
  daily: Record<string, [first: number, second: number]>
  /** The credits of one charge, by operation. */
  credits: Record<string, number>
  /** The days from the start of the first cycle. */
  from: number
  until?: number
}

const TRAFFIC: Traffic[] = [
  {
    key: 'Production API',
    daily: { search: [18, 48], embed: [10, 48], 'image:large': [12, 78] },
    credits: { search: 1, embed: 2, 'image:large': 12 },
    from: 0.2,
  },
  { key: 'Batch jobs', daily: { embed: [14, 56], transcribe: [0, 26] }, credits: { embed: 4, transcribe: 15 }, from: 2.2 },
  { key: 'Staging', daily: { search: [3, 14] }, credits: { search: 1 }, from: 1.2 },
  { key: 'CI pipeline', daily: { search: [1, 3] }, credits: { search: 1 }, from: 33.2 },
  { key: 'Old prototype', daily: { search: [2, 1] }, credits: { search: 1 }, from: 8.2, until: 41 },
  { key: 'Contractor', daily: { embed: [4, 4] }, credits: { embed: 2 }, from: 10.2, until: 37 },
  { key: 'Load test', daily: { search: [0, 12] }, credits: { search: 3 }, from: 42.2, until: 46 },
]

/**
 * Makes the calls of seven weeks, in the order of their times: of a customer with several keys, of the company's backend and of the
 * operator. Every kind of verdict, key status, alert and entry of the ledger occurs. The numbers are pseudo-random, and the same in
 * each run.
 */
export async function demoHistory(demo: Demo): Promise<void> {
  const keys = new Map<string, DemoKey>()
  const keyOf: KeyOf = (name) => {
    const key = keys.get(name)
    if (key === undefined) throw new Error(`The demo has no key ${name} yet.`)
    return key
  }
  const steps = [...eventsOf(demo, keys, keyOf), ...trafficOf(demo, keyOf)]
  steps.sort((a, b) => a.at.getTime() - b.at.getTime())
  for (const { at, run } of steps) {
    if (at > demo.now) throw new Error('A step of the demo is in the future.')
    await demo.setClock(at)
    await run()
  }
}

interface Step {
  at: Date
  run: () => Promise<unknown>
}

/** A key of the demo, with its previous secrets in the order of the rotations. */
interface DemoKey {
  id: string
  current: string
  previous: string[]
}
type KeyOf = (name: string) => DemoKey

function eventsOf(
  { start, now, last, accountId, customer, company, setPlan }: Demo,
  keys: Map<string, DemoKey>,
  keyOf: KeyOf,
): Step[] {
  const day = (days: number) => new Date(start.getTime() + days * DAY_MS)
  const hoursAgo = (hours: number) => new Date(now.getTime() - hours * HOUR_MS)
  const create = async (name: string, keyType: 'dev' | 'prod', rest: { expiresAt?: string; creditLimit?: number } = {}) => {
    const { id, keyPrefix, secret } = await customer.keys.create({ name, keyType, ...rest })
    keys.set(name, { id, current: secret, previous: [] })
    return { id, keyPrefix }
  }
  const createAndSave = async (...args: Parameters<typeof create>) =>
    await customer.keys.confirmSecretSaved(await create(...args))
  const rotate = async (name: string, graceSeconds: number) => {
    const key = keyOf(name)
    const { secret, keyPrefix } = await customer.keys.rotate({ id: key.id, graceSeconds })
    key.previous.push(key.current)
    key.current = secret
    await customer.keys.confirmSecretSaved({ id: key.id, keyPrefix })
  }
  let request = 0
  const charge = async (key: string, credits: number, operation: string, idempotencyKey = `demo-event-${request++}`) =>
    await company.metering.charge({ key, credits, operation, idempotencyKey })
  const chargeAndRefund = async (name: string, refundAfter: (chargeId: string) => Promise<unknown>) => {
    const charged = await charge(keyOf(name).current, 24, 'image:large')
    if (charged.verdict !== 'charged' || charged.chargeId === null)
      throw new Error(`The demo was not charged: ${charged.verdict}`)
    await refundAfter(charged.chargeId)
  }
  const refund = async (chargeId: string, credits: number) =>
    await company.metering.refund({ chargeId, credits, idempotencyKey: `demo-event-${request++}` })
  const hold = async (name: string, credits: number, ttlSeconds = HOUR_MS / 1_000) => {
    const held = await company.metering.hold({
      key: keyOf(name).current,
      credits,
      operation: 'transcribe',
      ttlSeconds,
      idempotencyKey: `demo-event-${request++}`,
    })
    if (held.verdict !== 'held') throw new Error(`The demo got no hold: ${held.verdict}`)
    return held.holdId
  }
  let openHold = ''
  let lateCharge = ''
  const settle = async (credits: number) =>
    await company.metering.settle({ holdId: openHold, credits, idempotencyKey: `demo-event-${request++}` })
  const release = async () => await company.metering.release({ holdId: openHold, idempotencyKey: `demo-event-${request++}` })
  const topUp = async (credits: number, idempotencyKey: string, note: string) =>
    await company.operator.grantTopUp({ accountId, credits, idempotencyKey, note })

  const steps: [Date, () => Promise<unknown>][] = [
    // The first billing cycle, on the plan `free`.
    [
      day(0.001),
      async () => {
        const { defaultKey } = await customer.auth.provision()
        if (defaultKey === null) throw new Error('The demo user already has a key.')
        keys.set('default', { id: defaultKey.id, current: defaultKey.secret, previous: [] })
        await customer.keys.confirmSecretSaved(pick(defaultKey))
      },
    ],
    [day(0.01), async () => await charge(keyOf('default').current, 1, 'search')],
    [day(0.1), async () => await createAndSave('Production API', 'prod')],
    [day(1.1), async () => await createAndSave('Staging', 'dev', { creditLimit: 150 })],
    [day(2.1), async () => await createAndSave('Batch jobs', 'prod')],
    [
      day(2.5),
      async () => await customer.alerts.setThresholds({ thresholds: [50, 80, 100], creditsLeft: [CREDITS_LEFT_ALERT] }),
    ],
    [day(5), async () => await topUp(250, 'demo-welcome', 'Thank you for trying Keymeter')],
    [day(8.1), async () => await createAndSave('Old prototype', 'dev', { expiresAt: day(39).toISOString() })],
    [day(10.1), async () => await createAndSave('Contractor', 'dev', { creditLimit: 500 })],
    [day(12.5), async () => await chargeAndRefund('Production API', async (chargeId) => await refund(chargeId, 24))],
    [day(20.5), async () => await company.operator.suspend({ accountId })],
    [day(20.51), async () => await charge(keyOf('Production API').current, 12, 'image:large')],
    [day(20.52), async () => await charge(keyOf('Batch jobs').current, 4, 'embed')],
    [day(20.55), async () => await company.operator.resume({ accountId })],
    // While the account runs out of credits, this hold is open. The refused charges show it.
    [
      day(20.9),
      async () => {
        openHold = await hold('Batch jobs', 5, 6.8 * (DAY_MS / 1_000))
      },
    ],
    [day(27.4), async () => await charge(keyOf('Production API').current, 900, 'image:large')],
    [day(27.41), async () => await charge(keyOf('Batch jobs').current, 800, 'embed')],
    [day(27.5), release],
    [day(28), async () => await setPlan({ plan: 'starter', creditsPerCycle: 5_000 })],
    [day(28.001), async () => await company.operator.changePlan({ accountId, plan: 'starter' })],
    [
      day(29.5),
      async () =>
        await chargeAndRefund('Production API', async (chargeId) => {
          lateCharge = chargeId
        }),
    ],
    // The second billing cycle. The credits of a charge of the first cycle become a top-up.
    [day(33), async () => await refund(lateCharge, 20)],
    [
      day(33.1),
      async () => await createAndSave('CI pipeline', 'dev', { expiresAt: new Date(now.getTime() + 3 * DAY_MS).toISOString() }),
    ],
    [day(35), async () => await rotate('Production API', DAY_MS / 1_000)],
    [day(35.1), async () => await customer.keys.endGrace({ id: keyOf('Production API').id })],
    [day(35.2), async () => await charge(keyOf('Production API').previous[0] ?? '', 1, 'search')],
    [day(37), async () => await customer.keys.revoke({ id: keyOf('Contractor').id })],
    [day(37.1), async () => await charge(keyOf('Contractor').current, 2, 'embed')],
    [day(38), async () => await topUp(300, 'demo-invoice-1041', 'Invoice 1041')],
    [
      day(39),
      async () =>
        await company.operator.takeBackTopUp({
          accountId,
          topUpIdempotencyKey: 'demo-invoice-1041',
          idempotencyKey: 'demo-invoice-1041-reversed',
          note: 'The payment of invoice 1041 was reversed',
        }),
    ],
    [day(40), async () => await topUp(500, 'demo-invoice-1042', 'Invoice 1042')],
    [day(41.1), async () => await charge(keyOf('Old prototype').current, 1, 'search')],
    [day(42.1), async () => await createAndSave('Load test', 'dev')],
    [day(46), async () => await customer.keys.disable({ id: keyOf('Load test').id })],
    [day(46.1), async () => await charge(keyOf('Load test').current, 3, 'search')],
    [
      hoursAgo(50),
      async () => {
        openHold = await hold('Batch jobs', 60)
      },
    ],
    [hoursAgo(49.9), async () => await settle(41)],
    // Nobody ends this hold, so it expires.
    [hoursAgo(40), async () => await hold('Batch jobs', 40)],
    [
      hoursAgo(30),
      async () => {
        openHold = await hold('Batch jobs', 80)
      },
    ],
    [hoursAgo(29.9), release],
    [hoursAgo(26), async () => await chargeAndRefund('Production API', async (chargeId) => await refund(chargeId, 8))],
    [hoursAgo(25), async () => await charge(keyOf('Staging').current, 100, 'search')],
    [
      hoursAgo(20),
      async () => await customer.keys.update({ id: keyOf('default').id, name: 'Local development', creditLimit: 60 }),
    ],
    // The work costs more than its hold and than the limit of the key, so a part is not collected.
    [
      hoursAgo(19),
      async () => {
        openHold = await hold('default', 40)
      },
    ],
    [hoursAgo(18.9), async () => await settle(75)],
    [hoursAgo(6), async () => await rotate('Batch jobs', 7 * (DAY_MS / 1_000))],
    [hoursAgo(5), async () => await charge(keyOf('Batch jobs').previous[0] ?? '', 4, 'embed')],
    [hoursAgo(2), async () => await create('Laptop', 'dev')],
    [hoursAgo(0.3), async () => await hold('Batch jobs', 120, 3 * (DAY_MS / 1_000))],
    [hoursAgo(0.02), async () => await charge(keyOf('Production API').current, 12, 'image:large')],
    [now, async () => await charge(keyOf('Production API').current, 1, 'search', last)],
  ]
  return steps.map(([at, run]) => ({ at, run }))
}

const pick = ({ id, keyPrefix }: { id: string; keyPrefix: string }) => ({ id, keyPrefix })

/** The regular charges of the keys. All charges of an hour have the same time, so they are decided in one batch. */
function trafficOf({ start, secondStart, now, company }: Demo, keyOf: KeyOf): Step[] {
  const steps: Step[] = []
  const random = randomNumbers()
  let hours = RARE_HOURS
  for (let time = start.getTime() + HOUR_MS; time < now.getTime() - HOUR_MS / 30; time += hours * HOUR_MS) {
    hours = now.getTime() - time < HOURLY_DAYS * DAY_MS ? 1 : RARE_HOURS
    const at = new Date(time + Math.floor(random() * 0.9 * HOUR_MS))
    if (at >= now) continue
    const requests = requestsAt(at, start, at < secondStart ? 0 : 1, hours, random)
    if (requests.length === 0) continue
    const run = async () =>
      await Promise.all(
        requests.map(
          async ({ key, ...request }, i) =>
            await company.metering.charge({ key: keyOf(key).current, ...request, idempotencyKey: `demo-${time}-${i}` }),
        ),
      )
    steps.push({ at, run })
  }
  return steps
}

function requestsAt(at: Date, start: Date, cycle: 0 | 1, hours: number, random: () => number) {
  const days = (at.getTime() - start.getTime()) / DAY_MS
  const isWeekend = [0, 6].includes(at.getUTCDay())
  // The sum over all hours since the previous charges. So the usage of a day does not depend on the hour at which the demo begins.
  const busy = Array.from({ length: hours }, (_, n) => BUSY[(at.getUTCHours() + 24 - n) % 24] ?? 0).reduce((a, b) => a + b)
  const share = (busy / BUSY_SUM) * (isWeekend ? WEEKEND : 1)
  return TRAFFIC.filter(({ from, until = Number.POSITIVE_INFINITY }) => days >= from && days < until).flatMap(
    ({ key, daily, credits }) =>
      Object.entries(daily).flatMap(([operation, perDay]) => {
        const each = credits[operation] ?? 1
        const count = Math.floor((share * perDay[cycle] * (0.5 + random())) / each + random())
        return Array.from({ length: count }, () => ({ key, operation, credits: each }))
      }),
  )
}

/** The same numbers from 0 to 1 in each run: a linear congruential generator. */
function randomNumbers(): () => number {
  let state = 1
  return () => {
    state = (state * MULTIPLIER + INCREMENT) % MODULUS
    return state / MODULUS
  }
}
