/**
 * Adds the demo account with seven weeks of history. `pnpm dev --seed` runs this script on the embedded stack, and writes the
 * settings to its standard input as JSON.
 *
 * All entries come from the operations of the product, in the order of their times. For the sessions of this script, a setting
 * replaces the clock of the database (`keymeter.now`). Other sessions never see another time, so the server can run.
 *
 * If the demo account is complete, this script changes nothing. If an interrupted run left a part of it, this script deletes the
 * account and creates it again.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createDb, type Db } from '@keymeter/db'
import { DEMO, withClient } from '@keymeter/local'
import { sql } from 'kysely'
import { pino } from 'pino'
import { z } from 'zod'
import { AccountQueue } from '../src/account-queue.ts'
import { createSessionChecker } from '../src/auth/check-session.ts'
import { hashMailbox } from '../src/auth/mailbox.ts'
import { createAccessTokenVerifier } from '../src/auth/verify-access-token.ts'
import type { Context } from '../src/context.ts'
import { createLimits, NO_LIMITS } from '../src/limits/limits.ts'
import { Metering } from '../src/metering/metering.ts'
import { setPlan } from '../src/operator/plans.ts'
import { appRouter } from '../src/router.ts'
import { UsageWatch } from '../src/usage/watch.ts'
import { demoHistory } from './demo-history.ts'

const CLOCK = join(import.meta.dirname, '../../../supabase/schemas/functions/time/now.sql')
/** The clock of this script. For a session without the setting, it is the usual clock. */
const CLOCK_WITH_SETTING = `create or replace function keymeter.now() returns timestamptz
  language sql volatile parallel safe set search_path = ''
  as $$ select coalesce(nullif(current_setting('keymeter.seed_now', true), '')::timestamptz,
                        date_trunc('milliseconds', clock_timestamp())) $$`
/** The idempotency key of the last charge. It shows that the demo account is complete. */
const LAST = 'demo-complete'
/** The demo account is this many days into its second billing cycle. */
const DAYS_INTO_CYCLE = 18
const USER_AGENT =
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'

type Owner = Parameters<Parameters<typeof withClient>[1]>[0]

const settings = z
  .object({
    ownerUrl: z.string(),
    databaseUrl: z.string(),
    supabaseUrl: z.string(),
    publishableKey: z.string(),
    jwtSecret: z.string(),
    keyBrand: z.string(),
  })
  .parse(JSON.parse(await text(process.stdin)))

await withClient(settings.ownerUrl, async (owner) => {
  if (await isComplete(owner)) return console.log('The demo account already exists.')
  await deleteDemo(owner)
  // One connection, so that every query uses the session with the setting.
  const db = createDb(settings.databaseUrl, () => {}, { connectionsMax: 1 })
  await owner.query(CLOCK_WITH_SETTING)
  try {
    await addDemo(owner, db)
  } finally {
    await owner.query(readFileSync(CLOCK, 'utf8').replace('create function', 'create or replace function'))
    await db.destroy()
  }
  await owner.query('select keymeter.make_usage_partitions()')
  console.log(`Added the demo account ${DEMO.email}.`)
})

async function isComplete(owner: Owner): Promise<boolean> {
  const { rows } = await owner.query<{ exists: boolean }>(
    `select exists (select from public.api_key_usage as events join auth.users as users on users.id = events.user_id
                     where users.email = $1 and events.idempotency_key = $2)`,
    [DEMO.email, LAST],
  )
  return rows[0]?.exists === true
}

async function deleteDemo(owner: Owner): Promise<void> {
  await owner.query('delete from public.billing_accounts where user_id in (select id from auth.users where email = $1)', [
    DEMO.email,
  ])
  await owner.query('delete from auth.users where email = $1', [DEMO.email])
  // The deletion of an account does not give the free credits of the mailbox back.
  await owner.query('delete from public.mailbox_allowances where mailbox_hash = $1', [hashMailbox(DEMO.email)])
}

async function addDemo(owner: Owner, db: Db): Promise<void> {
  const { rows } = await owner.query<{ start: Date; secondStart: Date; now: Date }>(
    `select start, keymeter.cycle_boundary(start, 1) as "secondStart", date_trunc('milliseconds', now()) as now
       from (select date_trunc('milliseconds', now() - interval '1 month' - make_interval(days => $1)) as start) as account`,
    [DAYS_INTO_CYCLE],
  )
  if (rows[0] === undefined) throw new Error('The database returned no time.')
  const { start, secondStart, now } = rows[0]
  const { userId, accessToken } = await signUp()
  // `keymeter.create_account` would begin the first billing cycle now.
  await owner.query(
    `insert into public.billing_accounts
       (user_id, credits_per_cycle, free_credits_refusal, billing_cycle_anchor, billing_cycle_start, created_at)
     values ($1, 0, 'not_confirmed', $2, $2, $2)`,
    [userId, start],
  )
  await owner.query(
    "insert into public.account_members (user_id, member_id, role, email, created_at) values ($1, $1, 'owner', $2, $3)",
    [userId, DEMO.email, start],
  )
  const ownerDb = createDb(settings.ownerUrl, () => {})
  try {
    const ctx = contextOf(db)
    const customer = { ...ctx, authorization: `Bearer ${accessToken}` }
    const company = { ...ctx, authorization: `Bearer ${ctx.serviceKey}`, userAgent: 'node' }
    await demoHistory({
      start,
      secondStart,
      now,
      last: LAST,
      accountId: userId,
      customer: appRouter.createCaller(customer),
      company: appRouter.createCaller(company),
      setPlan: async (plan) => await setPlan(ownerDb, plan),
      setClock: async (time) => {
        for (const call of [customer, company]) call.requestId = randomUUID()
        await sql`select set_config('keymeter.seed_now', ${time.toISOString()}, false)`.execute(db)
      },
    })
  } finally {
    await ownerDb.destroy()
  }
}

/** Signs the demo user up at Supabase Auth. `auth.signup` would also create the account, with the time of today. */
async function signUp(): Promise<{ userId: string; accessToken: string }> {
  const response = await fetch(`${settings.supabaseUrl}/auth/v1/signup`, {
    method: 'POST',
    headers: { apikey: settings.publishableKey, 'content-type': 'application/json' },
    body: JSON.stringify(DEMO),
  })
  const body = (await response.json()) as { access_token?: string; user?: { id: string }; msg?: string }
  if (body.access_token === undefined || body.user === undefined)
    throw new Error(`The demo user could not sign up: ${body.msg ?? response.status}`)
  return { userId: body.user.id, accessToken: body.access_token }
}

function contextOf(db: Db): Context {
  const log = pino({ level: 'silent' })
  const { supabaseUrl: url, publishableKey, keyBrand } = settings
  return {
    db,
    log,
    metering: new Metering({ db, keyBrand, log }),
    usageWatch: new UsageWatch(log),
    accountCalls: new AccountQueue(1),
    accountExports: new AccountQueue(1),
    serviceKey: randomUUID(),
    supabase: { url, publishableKey, secretKey: null },
    publicUrl: null,
    verifyAccessToken: createAccessTokenVerifier(settings),
    checkSession: createSessionChecker({ url, publishableKey }),
    limits: createLimits(db, NO_LIMITS),
    freeCredits: 'after_confirmation',
    mailer: null,
    keyBrand,
    requestId: randomUUID(),
    clientAddress: '203.0.113.7',
    userAgent: USER_AGENT,
    authorization: null,
    account: null,
  }
}
