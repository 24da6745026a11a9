import { dropUsage } from '@keymeter/api/server'
import type { Db } from '@keymeter/db'
import { InvalidArgumentError } from 'commander'

export interface DropUsageOptions {
  before: Date
  dryRun?: boolean
  closeCycles?: boolean
  json?: boolean
}

/** @returns whether nothing stood against it. */
export async function dropUsageCommand(db: Db, { before, dryRun, closeCycles, json }: DropUsageOptions): Promise<boolean> {
  const isDryRun = dryRun === true
  const { months, obstacles } = await dropUsage(db, before, { isDryRun, closeCycles: closeCycles === true })
  const isAllowed = obstacles.length === 0
  if (json === true) {
    console.log(JSON.stringify({ months, isDropped: isAllowed && !isDryRun, obstacles }))
    return isAllowed
  }
  for (const { message, remedy } of obstacles) console.log(`${message}\n  ${remedy}`)
  if (months.length === 0) console.log('There are no events of that time.')
  else if (!isAllowed) console.log(`Nothing was dropped of ${months.join(', ')}.`)
  else console.log(`${isDryRun ? 'Would drop' : 'Dropped'} the events of ${months.join(', ')}.`)
  return isAllowed
}

/** The first moment of a month, in UTC. */
export function parseMonth(text: string): Date {
  const month = /^\d{4}-(0[1-9]|1[0-2])$/.test(text) ? new Date(`${text}-01T00:00:00Z`) : null
  if (month === null) throw new InvalidArgumentError('Name a month like 2026-01.')
  return month
}
