import { z } from 'zod'
import { Timestamp } from './output.ts'

/** Lists the operator's log, newest entries first. */
export const ListOperatorLog = z.strictObject({
  accountId: z.guid().toLowerCase().optional(),
  limit: z.int().min(1).max(1_000, 'Ask for at most 1000 entries.').default(50),
})
export type ListOperatorLog = z.infer<typeof ListOperatorLog>

/** One read of customers' data by the operator. */
export const OperatorLogEntry = z.object({
  createdAt: Timestamp,
  requestId: z.string(),
  command: z.string(),
  /** The account that was read. Null if the command searched all accounts, and found none or several. */
  accountId: z.guid().nullable(),
  search: z.string().nullable(),
  osUser: z.string(),
  databaseUser: z.string(),
})
export type OperatorLogEntry = z.infer<typeof OperatorLogEntry>
