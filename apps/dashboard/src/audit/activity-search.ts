import { AuditAction, KeyId } from '@keymeter/contract'

export interface ActivitySearch {
  action?: AuditAction | undefined
  keyId?: string | undefined
}

/** Ignores invalid parameters, because a URL can contain anything. */
export function parseActivitySearch(raw: Record<string, unknown>): ActivitySearch {
  return { action: AuditAction.safeParse(raw['action']).data, keyId: KeyId.safeParse(raw['keyId']).data }
}
