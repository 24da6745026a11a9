import { randomUUID } from 'node:crypto'
import { provisioned } from '@keymeter/api/testing'
import type { Database } from './cluster.ts'

/** The credits of each account. No measurement spends them all, so no charge is refused. */
const CREDITS = 1_000_000_000_000
/** The product's limit for the keys of an account. */
const KEYS_OF_LARGE_ACCOUNT = 100
/**
 * The billing cycle of each account started this many days ago. So there are three weeks for the usage events, and the cycle
 * does not end during the run.
 */
const DAYS_INTO_CYCLE = 21

export interface Key {
  userId: string
  secret: string
}

export interface Accounts {
  /** One key of each account. */
  keys: Key[]
  /** All keys of one additional account, which has many keys. */
  large: Key[]
}

/** Creates `count` accounts with one key each, and one account with many keys. */
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

async function createAccount({ db, owner }: Database) {
  const createUser = async () => {
    const id = randomUUID()
    await owner.query('insert into auth.users (id, email) values ($1, $2)', [id, `${id}@example.com`])
    return id
  }
  const { userId, caller, defaultKey } = await provisioned({ db, createUser })
  return { caller, key: { userId, secret: defaultKey.secret } }
}
