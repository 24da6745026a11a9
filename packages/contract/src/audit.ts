import { z } from 'zod'
import { KeyId } from './keys.ts'
import { Output, Timestamp } from './output.ts'

export const AUDIT_PAGE_MAX = 100

/** A change of a key, or a change of the account by the operator. */
export const AuditAction = z.enum([
  'key.created',
  'key.updated',
  'key.disabled',
  'key.enabled',
  'key.rotated',
  'key.grace_ended',
  'key.secret_saved',
  'key.secret_replaced',
  'key.revoked',
  'account.topped_up',
  'account.plan_changed',
  'account.suspended',
  'account.resumed',
])
export type AuditAction = z.infer<typeof AuditAction>

/** `customer` is the user of the account. `operator` is the company that runs Keymeter. */
export const AuditActor = z.enum(['customer', 'operator'])
export type AuditActor = z.infer<typeof AuditActor>

/** One change, who made it and from where. `detail` contains what changed, and never a secret. */
export const AuditEntry = z.object({
  /** Counts the entries of the account from 1, without a gap. */
  sequence: z.int().positive(),
  actor: AuditActor,
  action: AuditAction,
  keyId: KeyId.nullable(),
  /** The current name of the key. Null when the entry is not about a key. */
  keyName: z.string().nullable(),
  detail: z.record(z.string(), z.json()),
  requestId: z.string(),
  clientAddress: z.string().nullable(),
  userAgent: z.string().nullable(),
  createdAt: Timestamp,
})
export type AuditEntry = z.infer<typeof AuditEntry>

/** Newest first. `from` is included, `to` is not. */
export const ListAudit = z.strictObject({
  action: AuditAction.optional(),
  keyId: KeyId.optional(),
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
  /** `nextCursor` of the previous page. */
  cursor: z.int().positive().nullish(),
  limit: z.int().min(1).max(AUDIT_PAGE_MAX).default(50),
  /** Added by tRPC's infinite queries. */
  direction: z.literal('forward').optional(),
})
export type ListAudit = z.infer<typeof ListAudit>

/** `nextCursor` is null on the last page. */
export const ListAuditOutput = Output.extend({ data: z.array(AuditEntry), nextCursor: z.int().positive().nullable() })
