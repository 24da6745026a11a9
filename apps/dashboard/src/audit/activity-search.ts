import { AuditAction, KeyId } from '@keymeter/contract'

/** What the address says of the list of changes. */
export interface ActivitySearch {
  action?: AuditAction | undefined
  keyId?: string | undefined
}

/** Anything can stand in an address: what makes no sense is dropped. */
export function parseActivitySearch(raw: Record<string, unknown>): ActivitySearch {
  return { action: AuditAction.safeParse(raw['action']).data, keyId: KeyId.safeParse(raw['keyId']).data }
}
