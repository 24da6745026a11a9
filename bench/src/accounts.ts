import { randomUUID } from 'node:crypto'
import { signedIn } from '../../packages/api/test/caller.ts'
import type { Database } from './cluster.ts'

/** More than any measurement takes: what is measured is the charge, and not the refusal. */
const CREDITS = 1_000_000_000_000
/** The most that an account may have. */
const KEYS_OF_LARGE_ACCOUNT = 100
/** So that a cycle holds three weeks of events, and does not end while we measure. */
const DAYS_INTO_CYCLE = 21

/** A key with what a charge names it by, and what it is in the database. */
export interface Key {
  userId: string
  secret: string
}

export interface Accounts {
  /** One key each of as many accounts. */
  keys: Key[]
  /** The keys of one account. */
  large: Key[]
}

/** Made by the router, as people make theirs. */
export async function createAccounts(database: Database, count: number): Promise<Accounts> {
  const keys: Key[] = []
  for (let n = 0; n < count; n++) keys.push((await createAccount(database)).key)

  const { key, caller } = await createAccount(database)
  const large = [key]
  while (large.length < KEYS_OF_LARGE_ACCOUNT) {
    const { secret } = await caller.keys.create({ name: `key ${large.length}` })
    large.push({ userId: key.userId, secret })
  }
  await database.owner.query(
    `update billing_accounts
        set credits_per_cycle = $1,
            billing_cycle_anchor = billing_cycle_anchor - make_interval(days => $2),
            billing_cycle_start = billing_cycle_start - make_interval(days => $2)`,
    [CREDITS, DAYS_INTO_CYCLE],
  )
  await database.owner.query('vacuum analyze')
  return { keys, large }
}

async function createAccount(database: Database) {
  const userId = randomUUID()
  await database.owner.query('insert into auth.users (id, email) values ($1, $2)', [userId, `${userId}@example.com`])
  const caller = await signedIn(database, userId)
  const { defaultKey } = await caller.auth.provision()
  if (defaultKey === null) throw new Error('a new account has no key')
  return { caller, key: { userId, secret: defaultKey.secret } }
}
