import { KEYS_PAGE_MAX } from '@keymeter/contract'
import { trpc } from '../call/trpc.ts'

/** The first page of the account's keys, including revoked keys. The filters by key show these keys. */
export const allKeys = trpc.keys.list.queryOptions({ status: 'all', sort: 'name', limit: KEYS_PAGE_MAX })
