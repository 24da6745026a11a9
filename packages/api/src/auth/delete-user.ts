import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { createAuthClient } from './auth-client.ts'

const DELETE_TIMEOUT_MS = 10_000

/**
 * Deletes a user in Supabase Auth, with the secret key of the project. A user who is already deleted is not an error, so the call can be
 * repeated. The memberships of the user are deleted with the user (docs/decisions/0037-accounts-and-members.md).
 *
 * @returns False if this server has no secret key. The log then asks the operator to delete the user.
 * @throws AppError `auth_unavailable` if the auth server does not answer, or refuses the secret key.
 */
export async function deleteUser({ supabase, log }: Pick<Context, 'supabase' | 'log'>, userId: string): Promise<boolean> {
  if (supabase.secretKey === null) {
    log.warn({ userId }, 'a user wants to be deleted, but SUPABASE_SECRET_KEY is not set: delete the user in Supabase')
    return false
  }
  const auth = createAuthClient({ url: supabase.url, apiKey: supabase.secretKey, timeoutMs: DELETE_TIMEOUT_MS })
  const { error } = await auth.admin.deleteUser(userId)
  if (error !== null && error.code !== 'user_not_found' && error.status !== 404)
    throw new AppError('auth_unavailable', { cause: error })
  return true
}
