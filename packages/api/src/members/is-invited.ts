import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import { readInvitation } from './read-invitation.ts'

/** Returns true if the token belongs to an open invitation of this address. */
export async function isInvited(ctx: Context, token: string, { email }: { email: string | null }): Promise<boolean> {
  try {
    const invitation = await readInvitation(ctx, token)
    return invitation.state === 'open' && invitation.email.toLowerCase() === email?.toLowerCase()
  } catch (error) {
    if (error instanceof AppError && error.reason === 'invitation_not_found') return false
    throw error
  }
}
