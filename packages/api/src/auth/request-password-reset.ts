import type { RequestLink } from '@keymeter/contract'
import type { Context } from '../context.ts'
import { linkTarget } from './link-target.ts'
import { requestLink } from './request-link.ts'

/** Sends a mail with a link with which a person sets a new password. If the address has no account, nothing is sent. */
export async function requestPasswordReset(ctx: Context, { email, next, captchaToken }: RequestLink): Promise<void> {
  const options = { ...linkTarget(ctx, next, 'redirectTo'), ...(captchaToken !== undefined && { captchaToken }) }
  await requestLink(ctx, email, async (auth) => await auth.resetPasswordForEmail(email, options))
}
