import type { Context } from './context.ts'
import { inAccount, type Scope } from './scope.ts'

/** A call of a member that exports data of an account. */
export type ExportCall = Parameters<typeof inAccount>[0] & Pick<Context, 'accountExports'>

/** Runs one read of an export in a transaction of its own, so a slow reader does not keep a transaction open. */
export type ReadForExport = <T>(operation: (scope: Scope) => Promise<T>) => Promise<T>

/**
 * Yields the parts of an export. The export occupies one of the account's places for exports until the generator ends, so the consumer
 * must read it to its end or call its `return`.
 *
 * @throws AppError `account_busy` if the account already has the maximum number of exports, and the errors of `inAccount`.
 */
export async function* exportOfAccount(
  call: ExportCall,
  parts: (read: ReadForExport) => AsyncGenerator<string>,
): AsyncGenerator<string> {
  // Only members may take the places of the account.
  await inAccount(call, 'read only', async () => {})
  const leave = await call.accountExports.enter(call.userId)
  try {
    yield* parts(async (operation) => await inAccount(call, 'read only', operation, { isPatient: true }))
  } finally {
    leave()
  }
}
