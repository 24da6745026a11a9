import {
  type AccountStatus,
  type AccountSummary,
  Email,
  type ListAccounts,
  MEMBERS_MAX,
  withAsciiDomain,
} from '@keymeter/contract'
import type { DB } from '@keymeter/db'
import { type RawBuilder, sql, type Transaction } from 'kysely'
import { z } from 'zod'
import { AppError } from '../errors.ts'
import { readInIndexOrder } from '../read-in-index-order.ts'
import { addressOfAccount, IS_LAST_KNOWN_MEMBER } from './address-of-account.ts'

/**
 * The maximum number of accounts that a page examines if its filters can skip accounts. No index finds a part of an address, and
 * an index by plan would have to be changed at each plan change.
 */
export const ACCOUNTS_EXAMINED_MAX = 10_000

/** A place in the list: directly after an account. */
interface Place {
  /** The time of the creation, in microseconds since 1970. It is 0 in the list of users without an account. */
  at: number
  id: string
}

type Reader = Transaction<DB>
type Filters = Pick<ListAccounts, 'sort' | 'search' | 'plan' | 'status' | 'limit'>

/**
 * Returns one page of accounts, each with the balance of its current billing cycle. `db` must be a transaction of the database's
 * owner, which sees all accounts.
 *
 * If `search` is the id of an account, or the id or a whole address of a user, the page contains only this account and the accounts of
 * this user, or the user without an account. Otherwise Postgres
 * reads the accounts in the order of the list, by `billing_accounts_created_idx` or `billing_accounts_suspended_idx`, and users
 * without an account by the primary key of the users. A page examines at most `ACCOUNTS_EXAMINED_MAX` of them. If few of these
 * match, the page is short or empty, and its cursor points to the last examined account
 * (docs/decisions/0032-the-operators-reads.md).
 *
 * @throws AppError `bad_request` if the cursor is not valid or belongs to another list.
 */
export async function listAccounts(
  db: Reader,
  { cursor, ...filters }: ListAccounts,
): Promise<{ data: AccountSummary[]; nextCursor: string | null }> {
  const after = cursor == null ? null : parseCursor(filters, cursor)
  const known = after === null ? await findKnown(db, filters.search) : null
  if (known !== null) {
    const isWanted = ({ plan, status }: AccountSummary) =>
      plan === (filters.plan ?? plan) && status === (filters.status ?? status)
    return { data: (await summarize(db, known)).filter(isWanted), nextCursor: null }
  }
  const { ids, next } = await findMatches(db, filters, after)
  return { data: await summarize(db, ids), nextCursor: next && formatCursor(filters, next) }
}

/**
 * Returns the accounts with this id, or whose member has this id or this whole address (`users_pkey`, `users_email_partial_key`), at most
 * `MEMBERS_MAX`. Returns the user if the user belongs to no account, and null if there is neither an account nor a user. The second
 * index does not contain users who sign in with SSO: they are found like a part of an address.
 */
async function findKnown(db: Reader, search: string): Promise<string[] | null> {
  const id = z.guid().safeParse(search)
  const email = Email.safeParse(search)
  if (!id.success && !email.success) return null
  const { rows: users } = await sql<{ id: string }>`
    select id from auth.users
     where ${id.success ? sql`id = ${id.data}::uuid` : sql`email = ${email.data?.toLowerCase()} and is_sso_user = false`}`.execute(
    db,
  )
  const user = users[0]?.id ?? null
  // The conditions are two queries, because Postgres can read a whole table for an `or` of them.
  const { rows: accounts } = await sql<{ id: string }>`
    select id from (select user_id as id from billing_accounts where user_id = ${id.data ?? null}::uuid
                    union
                    select id from (select members.user_id as id from account_members as members
                                     where members.member_id = ${user}::uuid and ${IS_LAST_KNOWN_MEMBER}
                                     limit ${MEMBERS_MAX}) as of_user) as known
     limit ${MEMBERS_MAX}`.execute(db)
  if (accounts.length > 0) return accounts.map((account) => account.id)
  return user === null ? null : [user]
}

async function findMatches(db: Reader, filters: Filters, after: Place | null): Promise<{ ids: string[]; next: Place | null }> {
  const { search, plan, status, limit } = filters
  const skips = search !== '' || plan !== undefined || status !== undefined
  const examinedMax = skips ? ACCOUNTS_EXAMINED_MAX : limit + 1
  await readInIndexOrder({ db })
  const { rows } = await sql<Place & { isFound: boolean; number: number }>`
    select at, id, is_found as "isFound", number
      from (select at, id, number, coalesce(${matches(filters)}, false) as is_found
              from (${examined(filters, after, examinedMax)}) as listed) as listed
     where is_found or number = ${examinedMax} order by number limit ${limit + 1}`.execute(db)
  const found = rows.filter(({ isFound }) => isFound)
  const page = found.slice(0, limit)
  const last = rows.at(-1)
  const next = found.length > limit ? page.at(-1) : last?.number === examinedMax ? last : null
  return { ids: page.map(({ id }) => id), next: next ?? null }
}

/** Selects the next `count` accounts, or users, in the order of the list. */
function examined({ sort, status }: Filters, after: Place | null, count: number): RawBuilder<unknown> {
  const [direction, isAfter] = sort === 'newest' ? [sql`desc`, sql`<`] : [sql`asc`, sql`>`]
  if (status === 'no_account')
    return sql`
      select 0::bigint as at, id, row_number() over (order by id) as number from auth.users
       where ${after === null ? sql`true` : sql`id > ${after.id}::uuid`} order by id limit ${count}`
  const place = after && sql`(timestamptz '1970-01-01Z' + ${after.at} * interval '1 microsecond', ${after.id}::uuid)`
  return sql`
    select (extract(epoch from created_at) * 1000000)::bigint as at, user_id as id, plan, next_plan, suspended_at, closed_at,
           billing_cycle_end <= keymeter.account_time(keymeter.now(), last_event_at, billing_cycle_start) as has_ended,
           row_number() over (order by created_at ${direction}, user_id ${direction}) as number
      from billing_accounts
     where ${place === null ? sql`true` : sql`(created_at, user_id) ${isAfter} ${place}`}
           ${status === 'suspended' ? sql`and suspended_at is not null` : sql``}
     order by created_at ${direction}, user_id ${direction} limit ${count}`
}

/**
 * The subqueries are scalar, so Postgres looks up each examined account by the primary key. It can turn `exists` and joins into a
 * hash join, which reads all users.
 */
function matches({ search, plan, status }: Filters): RawBuilder<boolean> {
  // Supabase Auth stores addresses in lower case. Only the domain of a text with an @ is known, e.g. `@bücher.example`.
  const part = /^\p{ASCII}*$/u.test(search) ? search : withAsciiDomain(search.includes('@') ? search : `@${search}`)
  const text = search.includes('@') ? part : part.replace('@', '')
  const contains = (email: RawBuilder<unknown>) => sql`strpos(lower(${email}), lower(${text})) > 0`
  const hasAddress =
    status === 'no_account'
      ? contains(sql`(select email from auth.users where id = listed.id)`)
      : sql`(select bool_or(${contains(sql`(select email from auth.users where id = members.member_id)`)})
               from account_members as members where members.user_id = listed.id and ${IS_LAST_KNOWN_MEMBER})`
  const conditions = [
    search === '' ? sql`true` : hasAddress,
    // If the stored cycle has ended, a planned change of the plan has already taken place.
    plan === undefined ? sql`true` : sql`case when has_ended then coalesce(next_plan, plan) else plan end = ${plan}`,
    status === undefined ? sql`true` : HAS_STATUS[status],
  ]
  return sql`(${sql.join(conditions, sql` and `)})`
}

const HAS_STATUS = {
  active: sql`suspended_at is null and closed_at is null`,
  suspended: sql`suspended_at is not null and closed_at is null`,
  closed: sql`closed_at is not null`,
  no_account: sql`(select user_id from billing_accounts where user_id = listed.id) is null
                  and (select user_id from account_members as members where members.member_id = listed.id limit 1) is null`,
} as const satisfies Record<AccountStatus, RawBuilder<unknown>>

interface Row {
  accountId: string
  email: string | null
  createdAt: Date | null
  isProvisioned: boolean
  plan: string | null
  used: number | null
  left: number | null
  liveKeys: number
  lastUsedAt: Date | null
  suspendedAt: Date | null
  closedAt: Date | null
}

/**
 * Returns the accounts with their balances, in the order of `ids`. keymeter.account_cycles computes the current cycle, as for the
 * pages of the customer. Live keys are read by `api_keys_live_idx`: an account has at most 100.
 */
async function summarize(db: Reader, ids: string[]): Promise<AccountSummary[]> {
  if (ids.length === 0) return []
  const { rows } = await sql<Row>`
    select page.id as "accountId", accounts.user_id is not null as "isProvisioned",
           case when accounts.user_id is null then (select email from auth.users where id = page.id)
                else ${addressOfAccount(sql`page.id`)} end as email,
           coalesce(accounts.created_at, (select created_at from auth.users where id = page.id)) as "createdAt", cycles.plan, cycles.credits_used as used,
           credits_carried + credits_granted + credits_topped_up - cycles.credits_used - cycles.credits_held as left,
           keys.live as "liveKeys", greatest(accounts.last_event_at, keys.last_used_at) as "lastUsedAt", accounts.suspended_at as "suspendedAt",
           accounts.closed_at as "closedAt"
      from unnest(${ids}::uuid[]) with ordinality as page (id, number)
      left join billing_accounts as accounts on accounts.user_id = page.id
      left join lateral keymeter.account_cycles(accounts.user_id, keymeter.now()) as cycles on is_current
     cross join lateral (select count(*) as live, max(last_used_at) as last_used_at
                           from api_keys where user_id = page.id and revoked_at is null) as keys
     order by number`.execute(db)
  return rows.map(({ isProvisioned, createdAt, used, left, lastUsedAt, suspendedAt, closedAt, ...row }) => ({
    ...row,
    status: statusOf({ isProvisioned, suspendedAt, closedAt }),
    createdAt: createdAt?.toISOString() ?? null,
    creditsUsed: used,
    creditsRemaining: left === null ? null : Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, left)),
    lastUsedAt: lastUsedAt?.toISOString() ?? null,
    suspendedAt: suspendedAt?.toISOString() ?? null,
  }))
}

function statusOf({
  isProvisioned,
  suspendedAt,
  closedAt,
}: Pick<Row, 'isProvisioned' | 'suspendedAt' | 'closedAt'>): AccountStatus {
  if (!isProvisioned) return 'no_account'
  if (closedAt !== null) return 'closed'
  return suspendedAt === null ? 'active' : 'suspended'
}

const Cursor = z.tuple([z.enum(['newest', 'oldest', 'no_account']), z.int().nonnegative(), z.guid()])

function listOf({ sort, status }: Pick<Filters, 'sort' | 'status'>): z.infer<typeof Cursor>[0] {
  return status === 'no_account' ? status : sort
}

function formatCursor(filters: Filters, { at, id }: Place): string {
  return Buffer.from(JSON.stringify([listOf(filters), at, id])).toString('base64url')
}

function parseCursor(filters: Filters, text: string): Place {
  try {
    const [list, at, id] = Cursor.parse(JSON.parse(Buffer.from(text, 'base64url').toString()))
    if (list === listOf(filters)) return { at, id }
  } catch {}
  const message = 'This cursor is not valid for this list. Start again without a cursor.'
  throw new AppError('bad_request', { field: 'cursor', message })
}
