import type pg from 'pg'
import { withClient } from '../database.ts'

/** Known to everyone, and only ever made in the embedded database. */
export const DEMO = { email: 'demo@example.com', password: 'demo-password' }

const KEYS = [
  { name: 'Production API', keyType: 'prod', dailyCredits: 14 },
  { name: 'Batch jobs', keyType: 'prod', dailyCredits: 7 },
  { name: 'Staging', keyType: 'dev', dailyCredits: 2 },
]
/** The demo account is this much into its second billing cycle. */
const DAYS_INTO_CYCLE = 18

/**
 * Adds the demo account through the API, as a person would, then dates it back and spreads usage over its two cycles.
 * Does nothing when it is there already; one that an interrupted run left without usage is made anew.
 */
export async function seed(appUrl: string, ownerUrl: string, report: (line: string) => void): Promise<void> {
  await withClient(ownerUrl, async (client) => {
    const { rows } = await client.query(
      `select exists (select from public.api_key_usage where user_id = users.id) as "isWhole" from auth.users as users where email = $1`,
      [DEMO.email],
    )
    if (rows[0]?.isWhole) return report('The demo account is there already.')
    await client.query('delete from auth.users where email = $1', [DEMO.email])

    const { user, session } = required(await call(appUrl, 'auth.signup', DEMO))
    for (const { name, keyType } of KEYS) required(await call(appUrl, 'keys.create', { name, keyType }, session.accessToken))
    await client.query('begin')
    await spreadUsage(client, user.id)
    await client.query('commit')
    report(`Added the demo account ${DEMO.email}.`)
  })
}

async function spreadUsage(client: pg.Client, userId: string): Promise<void> {
  await client.query(
    `update public.billing_accounts
        set billing_cycle_anchor = anchor, billing_cycle_start = anchor, created_at = anchor
       from (select date_trunc('milliseconds', now() - interval '1 month' - make_interval(days => $2)) as anchor) as past
      where user_id = $1`,
    [userId, DAYS_INTO_CYCLE],
  )
  await client.query(
    `insert into public.api_key_usage (user_id, api_key_id, credits_charged, created_at)
     select keys.user_id, keys.id, 1 + (random() * 2 * daily.credits)::int, moment
       from unnest($2::text[], $3::int[]) as daily (name, credits)
       join public.api_keys as keys on keys.user_id = $1 and keys.name = daily.name
       join public.billing_accounts as accounts on accounts.user_id = keys.user_id
      cross join generate_series(accounts.billing_cycle_anchor, now(), interval '1 day') as moment`,
    [userId, KEYS.map(({ name }) => name), KEYS.map(({ dailyCredits }) => dailyCredits)],
  )
  await client.query(
    `update public.api_keys as keys set created_at = used.first, last_used_at = used.last
       from (select api_key_id, min(created_at) as first, max(created_at) as last
               from public.api_key_usage where user_id = $1 group by api_key_id) as used
      where keys.user_id = $1 and keys.id = used.api_key_id`,
    [userId],
  )
}

interface SignUpData {
  user: { id: string }
  session: { accessToken: string }
}
interface CallAnswer {
  result?: { data: SignUpData }
  error?: { message: string }
}

async function call(appUrl: string, procedure: string, input: unknown, accessToken?: string): Promise<CallAnswer> {
  const response = await fetch(`${appUrl}/trpc/${procedure}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(accessToken && { authorization: `Bearer ${accessToken}` }) },
    body: JSON.stringify(input),
  })
  return (await response.json()) as CallAnswer
}

function required({ result, error }: CallAnswer): SignUpData {
  if (result === undefined) throw new Error(`The demo account could not be made: ${error?.message}`)
  return result.data
}
