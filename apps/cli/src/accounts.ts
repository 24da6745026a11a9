import { listAccounts, type OperatorCall, readAsOperator } from '@keymeter/api/server'
import { type AccountSummary, ListAccounts } from '@keymeter/contract'
import type { CommandResult } from './command-result.ts'
import { type Column, formatTable } from './format-table.ts'

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
  {
    title: 'PLAN',
    value: ({ plan, status }) =>
      status === 'no_account' ? '(no account yet)' : status === 'closed' ? `${plan} (deleted)` : plan,
  },
  { title: 'USED', value: ({ creditsUsed }) => creditsUsed },
  { title: 'LEFT', value: ({ creditsRemaining }) => creditsRemaining },
  { title: 'KEYS', value: ({ liveKeys }) => liveKeys },
  { title: 'LAST USE', value: ({ lastUsedAt }) => lastUsedAt },
  { title: 'SUSPENDED', value: ({ suspendedAt }) => suspendedAt },
]

/**
 * A page can be empty although more accounts follow, because it examines a limited number of them. The command then reads the next
 * pages until it has found an account. Each page has a transaction of its own, because a long transaction would keep Postgres from
 * removing old versions of rows, e.g. those that charges leave.
 *
 * @param onPage is called after each empty page.
 */
export async function showAccounts(call: OperatorCall, options: AccountsOptions, onPage: () => void): Promise<CommandResult> {
  const input = ListAccounts.parse(options)
  const { search, plan, status } = input
  const filters = [
    search,
    ...(plan === undefined ? [] : [`plan=${plan}`]),
    ...(status === undefined ? [] : [`status=${status}`]),
  ]
  const entry = { account: null, search: filters.filter((filter) => filter !== '').join(' ') || null }
  const isUnfinished = ({ data, nextCursor }: { data: AccountSummary[]; nextCursor: string | null }) =>
    data.length === 0 && nextCursor !== null
  const readPage = async (cursor: string | null | undefined) =>
    await readAsOperator(call, 'accounts', async (transaction) => {
      const result = await listAccounts(transaction, { ...input, cursor })
      return { result, ...entry, isShown: !isUnfinished(result) }
    })
  let page = await readPage(input.cursor)
  while (isUnfinished(page)) {
    onPage()
    page = await readPage(page.nextCursor)
  }
  const lines = page.data.length === 0 ? ['No account matches.'] : [formatTable(COLUMNS, page.data)]
  if (page.nextCursor !== null) lines.push('', `Next page: ${nextCommand(options, page.nextCursor)}`)
  return { json: page, text: lines.join('\n'), isOk: true }
}

function nextCommand({ sort, search, plan, status, limit }: AccountsOptions, cursor: string): string {
  const options = Object.entries({ sort, search, plan, status, limit, cursor }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name} ${quote(String(value))}`],
  )
  return `keymeter accounts ${options.join(' ')}`
}

/** Quotes a text for a shell, if it contains other characters than those that no shell interprets. */
function quote(text: string): string {
  return /^[\w@.:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
