import { dropUsage } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'
import type { CommandResult } from './command-result.ts'

export interface DropUsageOptions {
  before: Date
  dryRun?: true
  closeCycles?: true
}

export async function dropOldUsage(db: Db, { before, dryRun, closeCycles }: DropUsageOptions): Promise<CommandResult> {
  const isDryRun = dryRun === true
  const { months, obstacles } = await dropUsage(db, before, { isDryRun, closeCycles: closeCycles === true })
  const isOk = obstacles.length === 0
  const lines = obstacles.map(({ message, remedy }) => `${message}\n  ${remedy}`)
  if (months.length === 0) lines.push('There are no usage events from before that month.')
  else if (!isOk) lines.push(`The events of ${months.join(', ')} were not dropped.`)
  else lines.push(`${isDryRun ? 'Would drop' : 'Dropped'} the events of ${months.join(', ')}.`)
  return { json: { months, isDropped: isOk && !isDryRun, obstacles }, text: lines.join('\n'), isOk }
}
