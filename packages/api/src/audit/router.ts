import { ListAudit, ListAuditOutput } from '@keymeter/contract'
import type { TRPCRouterRecord } from '@trpc/server'
import { withRequestId } from '../request-id.ts'
import { signedInProcedure } from '../trpc.ts'
import { listAudit } from './list.ts'

export const auditRouter = {
  list: signedInProcedure
    .meta({ description: 'Lists the audit log, newest first, in pages: who did what, to which key, when, and from where.' })
    .input(ListAudit.default(ListAudit.parse({})))
    .output(ListAuditOutput)
    .query(({ ctx, input }) => withRequestId(ctx, listAudit(ctx.scope, input))),
} satisfies TRPCRouterRecord
