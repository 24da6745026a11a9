import { ACCESS, type Access, type MemberCall, MemberRole } from '@keymeter/contract'
import { type DB, type Db, isConflict, isReadOnly, isUnavailable, violatedForeignKey } from '@keymeter/db'
import { sql, type Transaction } from 'kysely'
import type { Logger } from 'pino'
import type { AccountQueue, WaitOptions } from './account-queue.ts'
import type { VerifiedToken } from './auth/verify-access-token.ts'
import { AppError } from './errors.ts'

/**
 * The first argument of an operation on one account. An operation can access the database only through this argument. `userId` is
 * the id of the account. A member chooses the account with the header `x-keymeter-account`, and the membership is checked in the
 * same transaction. Only the operator's procedures and commands take the account from their input, because the operator can act
 * for every account.
 */
export interface Scope extends CallOrigin {
  db: Transaction<DB>
  userId: string
  /** The member who makes the call. Null if the operator or Keymeter itself does. */
  member: Member | null
  log: Logger
  keyBrand: string
}

/**
 * Where a call came from, for the audit log. `clientAddress` and `userAgent` are null if the network or the client did not
 * provide them.
 */
export interface CallOrigin {
  requestId: string
  clientAddress: string | null
  userAgent: string | null
}

interface Member {
  id: string
  /** The address in the access token of the member. Null if the member signed in without one. */
  email: string | null
  /** The role, as it was at the start of the call. After `lockAccount`, it stays valid until the transaction ends. */
  role: MemberRole
  access: Access
  /** True if the person has signed in with a second factor. */
  isSecondFactor: boolean
}

/** A signed-in person, before it is known whether the person is a member of the account of the call. */
export type Caller = Pick<VerifiedToken, 'userId' | 'email' | 'isSecondFactor'>

/** All queries of a `read only` call see the same snapshot, so their numbers are consistent. */
type AccessMode = 'read only' | 'read write'

/** A call of a signed-in person on an account. If the account does not exist, and `opensAccount` is true, the call opens it. */
interface By {
  caller: Caller
  call: MemberCall
  opensAccount?: boolean
}

/** `by` is null if the operator or Keymeter itself makes the call. */
type Call = Omit<Scope, 'db' | 'member'> & { db: Db; by: By | null }

/**
 * Waits for the turn of the account (`AccountQueue`). Then runs `operation` in one transaction that can see and change only the
 * rows of the account `userId`, and only what the role of the member allows. keymeter.enter_account reads the membership and sets
 * what the policies of row level security compare each row with. The function returns after the commit. If `operation` throws, the
 * transaction is rolled back.
 *
 * A person who was never a member of an account counts as the owner of an account with their id, before it exists: the operation
 * perhaps opens it.
 *
 * @throws AppError `not_a_member`, also if the account does not exist. `role_insufficient`, `second_factor_required`.
 * @throws AppError `database_unavailable` if Postgres cannot be reached, shuts down, accepts no writes, exceeds a timeout or
 *   detects a deadlock.
 * @throws AppError `account_busy` if the account has too many calls in progress.
 * @throws AppError `not_signed_in` if the user was deleted after the access token was issued.
 */
export async function inAccount<T>(
  { accountCalls, ...call }: Call & { accountCalls: AccountQueue },
  accessMode: AccessMode,
  operation: (scope: Scope) => Promise<T>,
  options: WaitOptions = {},
): Promise<T> {
  const memberId = call.by?.caller.userId ?? null
  try {
    const place = accountCalls.placeOf(call.userId, memberId)
    const result = await accountCalls.run(place, () => inAccountWithoutTurn(call, accessMode, operation), {
      ...options,
      ...(memberId !== null && { person: memberId }),
    })
    if (memberId !== null) accountCalls.noteMember(call.userId, memberId, true)
    return result
  } catch (error) {
    if (memberId !== null && error instanceof AppError && error.reason === 'not_a_member')
      accountCalls.noteMember(call.userId, memberId, false)
    throw error
  }
}

/** Like `inAccount`, but does not wait for the turn of the account. Something else must limit the number of such calls. */
export async function inAccountWithoutTurn<T>(
  { db, by, ...call }: Call,
  accessMode: AccessMode,
  operation: (scope: Scope) => Promise<T>,
): Promise<T> {
  return await inTransaction(db, accessMode, async (transaction) => {
    // A call reads few rows of one account by an index, which takes less time than starting parallel workers. The rows are
    // close together and mostly in memory, so reading them by an index is cheaper than the default `random_page_cost` of 4
    // suggests. With this default, Postgres scans the whole table if most of its rows belong to one account.
    const { rows } = await sql<Entry>`
      select entered.role, has_account as "hasAccount", needs_second_factor as "needsSecondFactor", is_first_visit as "isFirstVisit",
             set_config('max_parallel_workers_per_gather', '0', true), set_config('random_page_cost', '1.1', true)
        from keymeter.enter_account(${call.userId}, ${by?.caller.userId ?? null}) as entered`.execute(transaction)
    const member = by === null ? null : admit(by, rows[0])
    return await operation({ ...call, member, db: transaction })
  })
}

/** A call of a signed-in person that belongs to no account, e.g. the list of their accounts. */
export interface PersonScope extends CallOrigin {
  db: Transaction<DB>
  caller: Caller
}

/**
 * Runs `operation` in one transaction that sees the rows of no account. It can only call functions of the database that take the
 * person from the transaction.
 *
 * @throws AppError `database_unavailable`, `account_busy`.
 */
export async function asPerson<T>(
  { db, accountCalls, caller, requestId, clientAddress, userAgent }: PersonCall,
  accessMode: AccessMode,
  operation: (scope: PersonScope) => Promise<T>,
): Promise<T> {
  return await accountCalls.run(accountCalls.placeOf('', caller.userId), () =>
    inTransaction(db, accessMode, async (transaction) => {
      await sql`select from keymeter.enter_account(null, ${caller.userId})`.execute(transaction)
      return await operation({ requestId, clientAddress, userAgent, caller, db: transaction })
    }),
  )
}
type PersonCall = CallOrigin & { db: Db; accountCalls: AccountQueue; caller: Caller }

/** Runs `operation` in one transaction, and converts the errors of Postgres. */
async function inTransaction<T>(
  db: Db,
  accessMode: AccessMode,
  operation: (transaction: Transaction<DB>) => Promise<T>,
): Promise<T> {
  let failure: unknown
  try {
    const transaction = db.transaction()
    // A `read write` call does not set the access mode, because the mode would override `default_transaction_read_only`. An
    // operator sets it to stop all writes, and Supabase sets it when the disk is full.
    return await (accessMode === 'read only' ? transaction.setAccessMode(accessMode) : transaction)
      .setIsolationLevel(accessMode === 'read only' ? 'repeatable read' : 'read committed')
      .execute(async (transaction) => {
        try {
          return await operation(transaction)
        } catch (error) {
          failure = error
          throw error
        }
      })
  } catch (last) {
    // If the session has ended, the rollback fails too. The error of the operation explains the reason.
    const error = failure ?? last
    if (error instanceof AppError) throw error
    // The user was deleted during the call, so a new row refers to a user that no longer exists.
    if (violatedForeignKey(error)?.endsWith('_member_id_fkey')) throw new AppError('not_signed_in', { cause: error })
    // The account was erased during the call.
    if (violatedForeignKey(error)?.endsWith('_user_id_fkey')) throw new AppError('not_a_member', { cause: error })
    // A write in a read-only call is a bug in our code, so the error must not become `database_unavailable`.
    if (accessMode === 'read only' && isReadOnly(error)) throw error
    if (isUnavailable(error) || isConflict(error)) throw new AppError('database_unavailable', { cause: error })
    throw error
  }
}

interface Entry {
  role: string | null
  hasAccount: boolean
  needsSecondFactor: boolean
  isFirstVisit: boolean
}

/**
 * Returns the member, or refuses the call. Unknown accounts and accounts of others get the same answer. So a caller who is not a
 * member also does not learn whether the account requires a second factor.
 */
function admit({ caller, call, opensAccount = false }: By, entry: Entry | undefined): Member {
  const access: Access = ACCESS[call]
  const mayOpen = entry?.isFirstVisit === true || (entry?.hasAccount === false && opensAccount)
  const role = requireRole(access, mayOpen ? 'owner' : MemberRole.nullish().parse(entry?.role))
  if (entry?.needsSecondFactor && !caller.isSecondFactor) throw new AppError('second_factor_required')
  const { userId: id, email, isSecondFactor } = caller
  return { id, email, role, access, isSecondFactor }
}

/**
 * Returns the role, if it may make the call.
 *
 * @throws AppError `not_a_member` if there is no role, and `role_insufficient` if the role may not make the call.
 */
export function requireRole(access: Access, role: MemberRole | null | undefined): MemberRole {
  if (role == null) throw new AppError('not_a_member')
  if (access[role] === 'no') throw new AppError('role_insufficient')
  return role
}
