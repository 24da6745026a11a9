import { createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ChargeVerdict, HoldVerdict, RefundVerdict, ReleaseVerdict, SettleVerdict } from '@keymeter/contract'

const RETRY_PAUSE_MS = 100

/** An account, with the secret of its default key. */
export interface Customer {
  userId: string
  secret: string
}

/** One request of the company's backend. A retry sends the same request again. */
export type Ask = { customer: Customer; credits: number; idempotencyKey: string } & (
  | { action: 'charge' | 'hold' }
  /** For a release, `credits` are all credits of the hold. A release does not send them. */
  | { action: 'settle' | 'release' | 'refund'; about: About }
)

/** A hold or charge that a settle, release or refund refers to. */
export interface About {
  eventId: string
  credits: number
  idempotencyKey: string
}

/** A request, its verdict, and the number of tries until the verdict arrived. */
export type Answered = Ask & { verdict: AnyVerdict; tries: number }
type AnyVerdict = ChargeVerdict | HoldVerdict | SettleVerdict | ReleaseVerdict | RefundVerdict

interface Backend {
  url: string
  serviceKey: string
}

/**
 * Sends a request once.
 *
 * @throws Error if the connection breaks.
 */
export async function tryOnce({ url, serviceKey }: Backend, ask: Ask) {
  const response = await fetch(`${url}/trpc/metering.${ask.action}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${serviceKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(inputOf(ask)),
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

/**
 * Sends a request until the server returns a verdict.
 *
 * @throws Error if a retry cannot change the response.
 */
export async function askUntilAnswered(backend: Backend, ask: Ask): Promise<Answered> {
  for (let tries = 1; ; tries++) {
    const answer = await tryOnce(backend, ask).catch(() => null)
    if (answer?.verdict !== undefined && answer.verdict.verdict !== 'overloaded')
      return { ...ask, verdict: answer.verdict, tries }
    if (answer !== null && answer.verdict === undefined && answer.reason !== 'database_unavailable')
      throw new Error(`a ${ask.action} was answered ${answer.status} ${answer.reason}`)
    await sleep(RETRY_PAUSE_MS)
  }
}

/** Starts `count` clients. Each client sends one request after the other, without a pause, until `stop` is called. */
export function startClients(backend: Backend, count: number, nextAsk: (answered: readonly Answered[]) => Ask) {
  const answered: Answered[] = []
  let isStopped = false
  let oneMore = Promise.withResolvers<void>()
  const clients = Array.from({ length: count }, async () => {
    while (!isStopped) {
      answered.push(await askUntilAnswered(backend, nextAsk(answered)))
      oneMore.resolve()
      oneMore = Promise.withResolvers()
    }
  })
  const all = Promise.all(clients)
  // This line prevents an unhandled rejection. `moreAnswered` and `stop` report the error of a client.
  all.catch(() => {})
  return {
    answered,
    /** Resolves when `more` further requests have a verdict. */
    moreAnswered: async (more: number) => {
      for (const until = answered.length + more; answered.length < until; ) await Promise.race([oneMore.promise, all])
    },
    /** Stops the clients. Resolves when the last request of each client has its verdict. */
    stop: async () => {
      isStopped = true
      await all
    },
  }
}

/** Returns an access token that is signed as Supabase Auth would sign it. */
export function accessToken(jwtSecret: string, userId: string, ttlSeconds = 3600): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    sub: userId,
    aud: 'authenticated',
    role: 'authenticated',
    iat: now,
    exp: now + ttlSeconds,
    aal: 'aal1',
    amr: [{ method: 'password', timestamp: now }],
  }
  const unsigned = `${part({ alg: 'HS256' })}.${part(claims)}`
  return `${unsigned}.${createHmac('sha256', jwtSecret).update(unsigned).digest('base64url')}`
}

/** Creates the account and the default key of a user. */
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
