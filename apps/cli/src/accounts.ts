import { listAccounts, readAsOperator } from '@keymeter/api/server'
import { type AccountSummary, ListAccounts } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import type { CommandResult } from './command-result.ts'
import { type Column, formatTable } from './format-table.ts'
import { operatorCall } from './operator-call.ts'

export interface AccountsOptions {
  sort?: string
  search?: string
  plan?: string
  status?: string
  limit?: number
  cursor?: string
}

const COLUMNS: Column<AccountSummary>[] = [
  { title: 'ADDRESS', value: ({ email }) => email, widthMax: 40 },
  { title: 'ID', value: ({ accountId }) => accountId },
  { title: 'PLAN', value: ({ plan, status }) => (status === 'no_account' ? '(no account yet)' : plan) },
  { title: 'USED', value: ({ creditsUsed }) => creditsUsed },
  { title: 'LEFT', value: ({ creditsRemaining }) => creditsRemaining },
  { title: 'KEYS', value: ({ liveKeys }) => liveKeys },
  { title: 'LAST USE', value: ({ lastUsedAt }) => lastUsedAt },
  { title: 'SUSPENDED', value: ({ suspendedAt }) => suspendedAt },
]

/**
 * A page can be empty although more accounts follow, because it examines a limited number of them. The command then reads the next
 * pages until it has found an account.
 */
export async function showAccounts(db: Db, options: AccountsOptions, onPage: () => void): Promise<CommandResult> {
  const input = ListAccounts.parse(options)
  const { search, plan, status } = input
  const filters = [
    search,
    ...(plan === undefined ? [] : [`plan=${plan}`]),
    ...(status === undefined ? [] : [`status=${status}`]),
  ]
  const page = await readAsOperator(operatorCall(db), 'accounts', async (transaction) => {
    let result = await listAccounts(transaction, input)
    while (result.data.length === 0 && result.nextCursor !== null) {
      onPage()
      result = await listAccounts(transaction, { ...input, cursor: result.nextCursor })
    }
    return { result, account: null, search: filters.filter((filter) => filter !== '').join(' ') || null }
  })
  const lines = page.data.length === 0 ? ['No account matches.'] : [formatTable(COLUMNS, page.data)]
  if (page.nextCursor !== null) lines.push('', `Next page: ${nextCommand(options, page.nextCursor)}`)
  return { json: page, text: lines.join('\n'), isOk: true }
}

function nextCommand({ sort, search, plan, status, limit }: AccountsOptions, cursor: string): string {
  const options = Object.entries({ sort, search, plan, status, limit, cursor }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name} ${quote(String(value))}`],
  )
  return `pnpm keymeter accounts ${options.join(' ')}`
}

/** Quotes a text for a shell, if it contains other characters than those that no shell interprets. */
function quote(text: string): string {
  return /^[\w@.:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
