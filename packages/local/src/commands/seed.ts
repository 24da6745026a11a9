import { createHash } from 'node:crypto'
import type pg from 'pg'
import { withClient } from '../database.ts'

/** The password is public. This is safe, because the account exists only in the embedded database. */
export const DEMO = { email: 'demo@example.com', password: 'demo-password' }

const KEYS = [
  { name: 'Production API', keyType: 'prod', dailyCredits: 14 },
  { name: 'Batch jobs', keyType: 'prod', dailyCredits: 7 },
  { name: 'Staging', keyType: 'dev', dailyCredits: 2 },
]
const OPERATIONS = ['search', 'image:large', 'embed']
/** The demo account is this many days into its second billing cycle. */
const DAYS_INTO_CYCLE = 18
/** The days of the top-up and of the refunds, counted from the start of the first cycle. */
const TOP_UP_DAY = 5
const REFUND_DAYS = [12, 40]
/** The lifetime of the hold that is made on the last day. */
const HOLD_SECONDS = 7 * 86_400

/**
 * Signs up the demo account through the API, moves the account's start into the past, and charges its keys on each day of its
 * two billing cycles. If the account exists and has usage, `seed` does nothing. If an interrupted run left the account without
 * usage, `seed` deletes the account and creates it again.
 */
export async function seed(appUrl: string, ownerUrl: string, report: (line: string) => void): Promise<void> {
  await withClient(ownerUrl, async (client) => {
    const { rows } = await client.query(
      `select exists (select from public.api_key_usage where user_id = users.id) as "isComplete" from auth.users as users where email = $1`,
      [DEMO.email],
    )
    if (rows[0]?.isComplete) return report('The demo account already exists.')
    await client.query('delete from auth.users where email = $1', [DEMO.email])
    // The deletion of a user does not give the free credits of the mailbox back.
    await client.query('delete from public.mailbox_allowances where mailbox_hash = sha256(convert_to($1, $2))', [
      `keymeter mailbox ${DEMO.email}`,
      'UTF8',
    ])

    const { user, session } = required(await call(appUrl, 'auth.signup', DEMO))
    const made: { id: string; secret: string; dailyCredits: number }[] = []
    for (const { name, keyType, dailyCredits } of KEYS) {
      const { id, secret } = required(await call(appUrl, 'keys.create', { name, keyType }, session.accessToken))
      made.push({ id, secret, dailyCredits })
    }
    await client.query('begin')
    await dateBack(client, user.id)
    await chargeDaily(client, user.id, made)
    await client.query('commit')
    report(`Added the demo account ${DEMO.email}.`)
  })
}

async function dateBack(client: pg.Client, userId: string): Promise<void> {
  await client.query(
    `update public.billing_accounts
        set billing_cycle_anchor = anchor, billing_cycle_start = anchor, created_at = anchor
       from (select date_trunc('milliseconds', now() - interval '1 month' - make_interval(days => $2)) as anchor) as past
      where user_id = $1`,
    [userId, DAYS_INTO_CYCLE],
  )
  await client.query(
    `update public.api_keys as keys set created_at = anchor + (created_at - now())
       from (select billing_cycle_anchor as anchor from public.billing_accounts where user_id = $1) as account
      where user_id = $1`,
    [userId],
  )
}

/**
 * Charges each key on each past day, and adds a top-up, refunds and a hold. The charge engine takes the time from the SQL
 * function `keymeter.now`, so this transaction replaces that function and restores it before the commit. Other sessions never
 * see the replacement.
 */
async function chargeDaily(
  client: pg.Client,
  userId: string,
  keys: { id: string; secret: string; dailyCredits: number }[],
): Promise<void> {
  const clock = await client.query("select pg_get_functiondef('keymeter.now'::regproc) as definition")
  await client.query(
    `create or replace function keymeter.now() returns timestamptz language sql volatile parallel safe set search_path = ''
       as $$ select current_setting('keymeter.seed_now')::timestamptz $$`,
  )
  const days = await client.query<{ moment: string }>(
    `select date_trunc('milliseconds', moment)::text as moment
       from public.billing_accounts, generate_series(billing_cycle_anchor + interval '1 minute', now(), interval '1 day') as moment
      where user_id = $1`,
    [userId],
  )
  const last = days.rows.length - 1
  for (const [day, { moment }] of days.rows.entries()) {
    await client.query("select set_config('keymeter.seed_now', $1, true)", [moment])
    if (day === TOP_UP_DAY)
      await client.query(
        "select keymeter.grant_top_up($1, 250, 'seed-top-up', 'Thank you for trying Keymeter', row('seed', null, null))",
        [userId],
      )
    const request = (i: number) => `seed-${keys[i]?.id}-${moment}`.replaceAll(' ', '_')
    const [charge] = await meter(
      client,
      userId,
      keys.map(({ secret, dailyCredits }, i) => ({
        action: 'charge',
        secret,
        credits: 1 + Math.floor(Math.random() * 2 * dailyCredits),
        idempotencyKey: request(i),
        operation: OPERATIONS[i % OPERATIONS.length],
      })),
    )
    if (REFUND_DAYS.includes(day))
      await meter(client, userId, [
        { action: 'refund', refersTo: charge?.sequence, credits: 1, idempotencyKey: `${request(0)}-refund` },
      ])
    if (day === last)
      await meter(client, userId, [
        {
          action: 'hold',
          secret: keys[1]?.secret,
          credits: 60,
          idempotencyKey: `${request(1)}-hold`,
          operation: OPERATIONS[1],
          lifetimeSeconds: HOLD_SECONDS,
        },
      ])
  }
  await client.query(clock.rows[0].definition)
}

/** One item of a call of `keymeter.meter_batch`. Missing fields become null. */
interface Item {
  action: 'charge' | 'hold' | 'refund'
  secret?: string | undefined
  refersTo?: string | undefined
  credits: number
  idempotencyKey: string
  operation?: string | undefined
  lifetimeSeconds?: number
}

async function meter(client: pg.Client, userId: string, items: Item[]): Promise<{ sequence: string }[]> {
  const { rows } = await client.query(
    `select sequence from keymeter.meter_batch(
       $1, $2::text[], $3::uuid[], $4::bytea[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::int[])`,
    [
      userId,
      items.map(({ action }) => action),
      items.map(() => userId),
      items.map(({ secret }) => (secret === undefined ? null : createHash('sha256').update(secret).digest())),
      items.map(({ refersTo }) => refersTo),
      items.map(({ credits }) => credits),
      items.map(({ idempotencyKey }) => idempotencyKey),
      items.map(({ operation }) => operation),
      items.map(({ lifetimeSeconds }) => lifetimeSeconds),
    ],
  )
  return rows
}

/** The fields that this file reads from the outputs of `auth.signup` and `keys.create`. */
interface Output {
  user: { id: string }
  session: { accessToken: string }
  id: string
  secret: string
}
interface CallResult {
  result?: { data: Output }
  error?: { message: string }
}

async function call(appUrl: string, procedure: string, input: unknown, accessToken?: string): Promise<CallResult> {
  const response = await fetch(`${appUrl}/trpc/${procedure}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(accessToken && { authorization: `Bearer ${accessToken}` }) },
    body: JSON.stringify(input),
  })
  return (await response.json()) as CallResult
}

function required({ result, error }: CallResult): Output {
  if (result === undefined) throw new Error(`The demo account could not be created: ${error?.message}`)
  return result.data
}
