import type { DB, Db } from '@keymeter/db'
import { sql, type Transaction } from 'kysely'
import { type ChainedEntry, chainHash } from '../audit/chain.ts'

/** The first fault in the hash chain of an account's audit log. `sequence` is the sequence of the altered or missing entry. */
export interface AuditFault {
  userId: string
  sequence: number
  fault: 'altered' | 'missing' | 'not counted' | 'head altered'
}

export interface AuditVerdict {
  accounts: number
  entries: number
  faults: AuditFault[]
}

interface VerifyOptions {
  /** Receives the number of entries that have been verified so far. */
  report?: (entries: number) => void | Promise<void>
  accountsPage?: number
  entriesPage?: number
}

/**
 * Numbers and times are read as text, because a row that somebody altered can contain values that JavaScript cannot represent.
 */
type StoredEntry = Omit<ChainedEntry, 'sequence'> & { sequence: string; hash: Buffer }

interface Head {
  userId: string
  length: string
  head: Buffer | null
}

const ACCOUNTS_PAGE = 500
const ENTRIES_PAGE = 5_000

/**
 * Recomputes the hash chain of every account's audit log. Compares each hash with the stored hash. Also compares the last hash
 * (the head) and the number of entries with those that the account stores. All queries read one snapshot, so entries that are
 * written during the check are not faults. `db` must be the handle of the database's owner, which sees all accounts.
 *
 * The check cannot detect that an owner of the database rewrote the last entries of a chain together with its head. Copies of
 * the heads outside the database would reveal this.
 */
export async function verifyAudit(
  db: Db,
  { report = () => {}, accountsPage = ACCOUNTS_PAGE, entriesPage = ENTRIES_PAGE }: VerifyOptions = {},
): Promise<AuditVerdict> {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (snapshot) => {
      // This setting makes the queries fail if the role can see only some rows. Without it, such a role would miss faults in
      // the other rows.
      await sql`set local row_security = off`.execute(snapshot)
      const verdict: AuditVerdict = { accounts: 0, entries: 0, faults: [] }
      for await (const heads of accountPages(snapshot, accountsPage)) {
        const entries = entriesOf(snapshot, heads, entriesPage)
        let entry = await entries.next()
        for (const head of heads) {
          const chain = new Chain(head)
          for (; !entry.done && entry.value.userId === head.userId; entry = await entries.next()) {
            chain.add(entry.value)
            verdict.entries++
          }
          const fault = chain.end()
          if (fault !== null) verdict.faults.push(fault)
          verdict.accounts++
        }
        await report(verdict.entries)
      }
      return verdict
    })
}

class Chain {
  readonly #account: Head
  #last: Buffer | null = null
  #length = 0
  #fault: AuditFault | null = null

  constructor(account: Head) {
    this.#account = account
  }

  add(entry: StoredEntry): void {
    this.#fault ??= this.#faultOf(entry)
    if (this.#fault !== null) return
    this.#last = entry.hash
    this.#length++
  }

  end(): AuditFault | null {
    if (this.#fault !== null) return this.#fault
    if (BigInt(this.#length) < BigInt(this.#account.length)) return this.#at(this.#length + 1, 'missing')
    const isHead = this.#last?.toString('hex') === this.#account.head?.toString('hex')
    return isHead ? null : this.#at(this.#length, 'head altered')
  }

  #faultOf(entry: StoredEntry): AuditFault | null {
    const sequence = this.#length + 1
    if (BigInt(sequence) > BigInt(this.#account.length)) return this.#at(sequence, 'not counted')
    if (entry.sequence !== String(sequence)) return this.#at(sequence, 'missing')
    return chainHash(this.#last, { ...entry, sequence }).equals(entry.hash) ? null : this.#at(sequence, 'altered')
  }

  #at(sequence: number, fault: AuditFault['fault']): AuditFault {
    return { userId: this.#account.userId, sequence, fault }
  }
}

async function* accountPages(db: Transaction<DB>, limit: number): AsyncGenerator<Head[]> {
  let after: string | null = null
  for (;;) {
    const page: Head[] = await db
      .selectFrom('billing_accounts')
      .select(['user_id as userId', sql<string>`audit_length::text`.as('length'), 'audit_head as head'])
      .$if(after !== null, (query) => query.where('user_id', '>', after ?? ''))
      .orderBy('user_id')
      .limit(limit)
      .execute()
    const last = page.at(-1)
    if (last === undefined) return
    yield page
    after = last.userId
  }
}

/** Returns the entries of these accounts, sorted by account and sequence, which is the order of the primary key. */
async function* entriesOf(db: Transaction<DB>, accounts: Head[], limit: number): AsyncGenerator<StoredEntry> {
  const [first, last] = [accounts[0]?.userId ?? '', accounts.at(-1)?.userId ?? '']
  let after = { userId: first, sequence: '0' }
  for (;;) {
    const page = await db
      .selectFrom('audit_log')
      .select([
        'user_id as userId',
        sql<string>`sequence::text`.as('sequence'),
        'actor',
        'actor_id as actorId',
        'action',
        'api_key_id as keyId',
        sql<string>`detail::text`.as('detail'),
        'request_id as requestId',
        'client_address as clientAddress',
        'user_agent as userAgent',
        sql<string>`coalesce(to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), '')`.as('createdAt'),
        'hash',
      ])
      .where(sql<boolean>`(user_id, sequence) > (${after.userId}::uuid, ${after.sequence}::bigint)`)
      .where('user_id', '<=', last)
      .orderBy('user_id')
      .orderBy('audit_log.sequence')
      .limit(limit)
      .execute()
    yield* page
    const end = page.at(-1)
    if (end === undefined || page.length < limit) return
    after = end
  }
}
