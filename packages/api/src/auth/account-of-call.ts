import { z } from 'zod'
import type { Context } from '../context.ts'
import { AppError } from '../errors.ts'
import type { Caller } from '../scope.ts'

const AccountId = z.guid().toLowerCase()

/**
 * Returns the id of the account of a call: the header `x-keymeter-account`, or the account with the id of the user. The id proves
 * nothing, because the client chooses it. `inAccount` reads the membership.
 *
 * @throws AppError `bad_request` if the header is not an id.
 */
export function accountOfCall({ account }: Pick<Context, 'account'>, { userId }: Caller): string {
  if (account === null) return userId
  const { data } = AccountId.safeParse(account)
  if (data === undefined)
    throw new AppError('bad_request', {
      message: 'The header x-keymeter-account is not the id of an account: correct it or leave it out.',
    })
  return data
}
