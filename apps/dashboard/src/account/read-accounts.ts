import { currentSession } from '../call/session.ts'
import { queryClient, trpc } from '../call/trpc.ts'
import { noteAccounts } from './current-account.ts'

/** Reads the accounts of the person again, e.g. after one was joined, opened or left. */
export async function readAccounts(): Promise<void> {
  const userId = currentSession()?.user.id
  if (userId === undefined) return
  // An answer that is under way can be older than the change.
  await queryClient.cancelQueries(trpc.accounts.list.queryFilter())
  const { data } = await queryClient.fetchQuery(trpc.accounts.list.queryOptions(undefined, { staleTime: 0 }))
  noteAccounts(userId, data)
}
