import type { RequestLink } from '@keymeter/contract'
import type { Context } from '../context.ts'
import { linkTarget } from './link-target.ts'
import { requestLink } from './request-link.ts'

/**
 * Sends another mail with the link that confirms the address of a sign-up. If the address has no account or is already confirmed,
 * nothing is sent.
 */
export async function resendConfirmation(ctx: Context, { email, next, captchaToken }: RequestLink): Promise<void> {
  const options = { ...linkTarget(ctx, next, 'emailRedirectTo'), ...(captchaToken !== undefined && { captchaToken }) }
  await requestLink(ctx, email, async (auth) => await auth.resend({ type: 'signup', email, options }))
}
