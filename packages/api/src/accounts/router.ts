import {
  AccountsOutput,
  CloseAccount,
  GetDeletionOutput,
  OpenAccountOutput,
  Output,
  RenameAccount,
  RequireSecondFactor,
} from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { sql } from 'kysely'
import { originOf } from '../audit/record.ts'
import { lockAccount } from '../billing/lock-account.ts'
import { AppError } from '../errors.ts'
import { withRequestId } from '../request-id.ts'
import { asPerson } from '../scope.ts'
import { memberChangeProcedure, signedInCall } from '../trpc.ts'
import { closeAccount } from './close.ts'
import { getDeletion } from './get-deletion.ts'
import { listMemberAccounts } from './list.ts'
import { openAccount } from './open.ts'

export const accountsRouter = {
  list: signedInCall
    .meta({ description: 'Lists the accounts of which the person is a member, the oldest membership first.' })
    .output(AccountsOutput)
    .query(async ({ ctx }) => {
      const { accounts } = await asPerson(ctx, 'read only', listMemberAccounts)
      return { data: accounts, requestId: ctx.requestId }
    }),

  open: signedInCall
    .meta({ description: 'Opens an account with a first key, for a person who owns no account.' })
    .output(OpenAccountOutput)
    .mutation(({ ctx }) => withRequestId(ctx, openAccount(ctx, ctx.caller))),

  rename: memberChangeProcedure
    .meta({ description: 'Changes the name of the account, or removes it.' })
    .input(RenameAccount)
    .output(Output)
    .mutation(async ({ ctx: { scope }, input: { name } }) => {
      await lockAccount(scope)
      await sql`select keymeter.set_account_name(${name}, ${originOf(scope)})`.execute(scope.db)
      return { requestId: scope.requestId }
    }),

  requireSecondFactor: memberChangeProcedure
    .meta({ description: 'Decides whether the members of the account need a second factor.' })
    .input(RequireSecondFactor)
    .output(Output)
    .mutation(async ({ ctx: { scope }, input: { isRequired } }) => {
      // Otherwise an owner without a second factor would lock themselves out.
      if (isRequired && !scope.member?.isSecondFactor) throw new AppError('second_factor_required')
      await lockAccount(scope)
      await sql`select keymeter.require_second_factor(${isRequired}, ${originOf(scope)})`.execute(scope.db)
      return { requestId: scope.requestId }
    }),

  getDeletion: signedInCall
    .meta({ description: 'Returns what the deletion of each account of the person, or of the person’s sign-in, would end.' })
    .output(GetDeletionOutput)
    .query(async ({ ctx }) => ({
      data: await asPerson(ctx, 'read only', getDeletion),
      canDeleteSignIn: ctx.supabase.secretKey !== null,
      requestId: ctx.requestId,
    })),

  close: signedInCall
    .meta({
      description:
        'Deletes the account: revokes its keys, and removes all its members. The operator erases its data later. Nobody can undo this, and a repeat by the same person changes nothing.',
    })
    .input(CloseAccount)
    .output(Output)
    .mutation(async ({ ctx, input: { confirmation } }) => {
      await closeAccount(ctx, ctx.caller, confirmation)
      return { requestId: ctx.requestId }
    }),
} satisfies TRPCRouterRecord
