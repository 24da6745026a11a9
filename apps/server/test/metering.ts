import { createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ChargeVerdict, HoldVerdict, RefundVerdict, ReleaseVerdict, SettleVerdict } from '@keymeter/contract'

/** A try that is not answered at all within this time is given up, and made again. */
const TRY_TIMEOUT_MS = 120_000
const RETRY_PAUSE_MS = 20
/** A request that is never told its verdict fails the test. */
const TOLD_WITHIN_MS = 120_000

/** An account, and the secret of its default key. */
export interface Customer {
  userId: string
  secret: string
}

/** One request as the company's backend means it, however often it has to ask. */
export type Ask = { customer: Customer; credits: number; idempotencyKey: string } & (
  | { action: 'charge' | 'hold' }
  /** The credits of a release are all that is held, and are not sent. */
  | { action: 'settle' | 'release' | 'refund'; about: About }
)

/** An earlier request's hold or charge, as the backend keeps it. */
export interface About {
  eventId: string
  credits: number
  idempotencyKey: string
}

/** What became of it. */
export type Told = Ask & { verdict: AnyVerdict; tries: number }
type AnyVerdict = ChargeVerdict | HoldVerdict | SettleVerdict | ReleaseVerdict | RefundVerdict

interface Backend {
  url: string
  serviceKey: string
}

/** Asks once. A connection that breaks throws. */
export async function tryOnce({ url, serviceKey }: Backend, ask: Ask) {
  const response = await fetch(`${url}/trpc/metering.${ask.action}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${serviceKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(inputOf(ask)),
    signal: AbortSignal.timeout(TRY_TIMEOUT_MS),
  })
  const body = (await response.json()) as { result?: { data: AnyVerdict }; error?: { data: { reason: string } } }
  return { status: response.status, verdict: body.result?.data, reason: body.error?.data.reason }
}

function inputOf(ask: Ask) {
  const { customer, credits, idempotencyKey } = ask
  switch (ask.action) {
    case 'charge':
    case 'hold':
      return { key: customer.secret, credits, idempotencyKey }
    case 'settle':
      return { holdId: ask.about.eventId, credits, idempotencyKey }
    case 'release':
      return { holdId: ask.about.eventId, idempotencyKey }
    case 'refund':
      return { chargeId: ask.about.eventId, credits, idempotencyKey }
  }
}

/** Asks until it is told a verdict. Only what trying again may help is tried again: anything else throws. */
export async function askUntilTold(backend: Backend, ask: Ask): Promise<Told> {
  const deadline = Date.now() + TOLD_WITHIN_MS
  for (let tries = 1; ; tries++) {
    const answer = await tryOnce(backend, ask).catch(() => null)
    if (answer?.verdict !== undefined && answer.verdict.verdict !== 'overloaded')
      return { ...ask, verdict: answer.verdict, tries }
    if (answer !== null && answer.verdict === undefined && answer.reason !== 'database_unavailable')
      throw new Error(`a ${ask.action} was answered ${answer.status} ${answer.reason}`)
    if (Date.now() > deadline) throw new Error(`a ${ask.action} was told no verdict: ${answer?.reason ?? 'no answer'}`)
    await sleep(RETRY_PAUSE_MS)
  }
}

/** Clients that ask one after the other, without a pause, until they are stopped. */
export function startClients(backend: Backend, count: number, nextAsk: (told: readonly Told[]) => Ask) {
  const told: Told[] = []
  let isStopped = false
  const clients = Array.from({ length: count }, async () => {
    while (!isStopped) told.push(await askUntilTold(backend, nextAsk(told)))
  })
  const all = Promise.all(clients)
  let failure: unknown = null
  all.catch((error: unknown) => {
    failure = error ?? new Error('a client failed')
  })
  return {
    told,
    /** Waits until `more` requests were answered from now on. */
    moreTold: async (more: number) => {
      for (const until = told.length + more; told.length < until; await sleep(1)) if (failure !== null) throw failure
    },
    /** Each client ends with the request that it is at, once it was told its verdict. */
    stop: async () => {
      isStopped = true
      await all
    },
  }
}

/** A token as Supabase Auth issues it. */
export function accessToken(jwtSecret: string, userId: string, ttlSeconds = 3600): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const claims = { sub: userId, aud: 'authenticated', role: 'authenticated', iat: now, exp: now + ttlSeconds }
  const unsigned = `${part({ alg: 'HS256' })}.${part(claims)}`
  return `${unsigned}.${createHmac('sha256', jwtSecret).update(unsigned).digest('base64url')}`
}

/** Signs in as Supabase Auth would, and provisions: an account and its default key. */
export async function provision(url: string, jwtSecret: string, userId: string): Promise<Customer> {
  const response = await fetch(`${url}/trpc/auth.provision`, {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken(jwtSecret, userId)}`, 'content-type': 'application/json' },
    body: '{}',
  })
  const body = (await response.json()) as { result?: { data: { defaultKey: { secret: string } | null } } }
  const secret = body.result?.data.defaultKey?.secret
  if (secret === undefined) throw new Error(`provisioning was answered ${JSON.stringify(body)}`)
  return { userId, secret }
}
