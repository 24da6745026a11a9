import { KEYS_PAGE_MAX } from '@keymeter/contract'
import { trpc } from '../call/trpc.ts'

/** The account's keys, revoked ones too, as far as one page goes: to choose one of them. */
export const allKeys = trpc.keys.list.queryOptions({ status: 'all', sort: 'name', limit: KEYS_PAGE_MAX })
