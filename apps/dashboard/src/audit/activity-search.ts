import { AuditAction, KeyId } from '@keymeter/contract'

/** The search parameters of the activity page. */
export interface ActivitySearch {
  action?: AuditAction | undefined
  keyId?: string | undefined
}

/** Drops invalid parameters, because anybody can write anything into a URL. */
export function parseActivitySearch(raw: Record<string, unknown>): ActivitySearch {
  return { action: AuditAction.safeParse(raw['action']).data, keyId: KeyId.safeParse(raw['keyId']).data }
}
