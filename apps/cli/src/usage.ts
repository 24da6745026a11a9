import { findAccount, getAccountUsage, type OperatorCall, readAsOperator } from '@keymeter/api/server'
import { type AccountUsage, GetAccountUsage } from '@keymeter/contract'
import type { CommandResult } from './command-result.ts'
import { type Column, formatTable } from './format-table.ts'

const NAME_WIDTH_MAX = 32
type Row = Record<string, string | number | null>

const KEYS = columns({ KEY: NAME_WIDTH_MAX, PREFIX: null, STATUS: null, CREDITS: null, CHARGES: null, HELD: null })
const OPERATIONS = columns({ OPERATION: null, CREDITS: null, CHARGES: null })
const REFUSALS = columns({ TIME: null, KEY: NAME_WIDTH_MAX, OPERATION: null, REQUESTED: null, LEFT: null, VERDICT: null })
const HOLDS = columns({ KEY: NAME_WIDTH_MAX, OPERATION: null, CREDITS: null, SINCE: null, UNTIL: null })

/** @param cycle is the start of a billing cycle. Without it, the command shows the current cycle. */
export async function showUsage(call: OperatorCall, account: string, { cycle }: { cycle?: string }): Promise<CommandResult> {
  const input = GetAccountUsage.parse({ cycleStart: cycle })
  const accountId = await findAccount(call.db, account)
  const usage = await readAsOperator(call, 'usage', async (_, scopeOf) => ({
    result: await getAccountUsage(scopeOf(accountId), input),
    account: accountId,
    search: cycle ?? null,
  }))
  return { json: usage, text: describe(usage), isOk: true }
}

function describe(usage: AccountUsage): string {
  const { accountId, email, plan, billingCycle, isCurrent, suspendedAt, keys, operations, refusals, holds } = usage
  const { restOfKeys, restOfOperations, restOfHolds, previousCycleStart } = usage
  const sections = [
    [
      `${email ?? 'A user without an address'} (${accountId}), plan ${plan}${suspendedAt === null ? '' : `, suspended since ${suspendedAt}`}`,
      `${isCurrent ? 'Current cycle' : 'Cycle'}: ${billingCycle.start} to ${billingCycle.end}`,
    ],
    [describeBalance(usage)],
    table(
      'Used by key',
      KEYS,
      keys.map((key) => ({
        KEY: key.name,
        PREFIX: key.keyPrefix,
        STATUS: key.status,
        CREDITS: key.credits,
        CHARGES: key.charges,
        HELD: key.creditsHeld,
      })),
      restOfKeys && {
        KEY: `${restOfKeys.count} other keys`,
        PREFIX: null,
        STATUS: null,
        CREDITS: restOfKeys.credits,
        CHARGES: restOfKeys.charges,
        HELD: null,
      },
    ),
    table(
      'Used by operation',
      OPERATIONS,
      operations.map(({ operation, credits, charges }) => ({ OPERATION: operation, CREDITS: credits, CHARGES: charges })),
      restOfOperations && {
        OPERATION: `${restOfOperations.count} other operations`,
        CREDITS: restOfOperations.credits,
        CHARGES: restOfOperations.charges,
      },
    ),
    table(
      'Last refused requests',
      REFUSALS,
      refusals.map((event) => ({
        TIME: event.createdAt,
        KEY: event.keyName,
        OPERATION: event.operation,
        REQUESTED: event.creditsRequested,
        LEFT: event.remaining,
        VERDICT: event.verdict,
      })),
      null,
    ),
    table(
      'Open holds',
      HOLDS,
      holds.map(({ keyId, keyName, operation, credits, createdAt, expiresAt }) => ({
        KEY: keyName ?? keyId,
        OPERATION: operation,
        CREDITS: credits,
        SINCE: createdAt,
        UNTIL: expiresAt,
      })),
      restOfHolds && {
        KEY: `${restOfHolds.count} other holds`,
        OPERATION: null,
        CREDITS: restOfHolds.credits,
        SINCE: null,
        UNTIL: null,
      },
    ),
    previousCycleStart === null ? [] : [`Previous cycle: keymeter usage ${accountId} --cycle ${previousCycleStart}`],
  ]
  return sections.flatMap((lines) => (lines.length === 0 ? [] : [lines.join('\n')])).join('\n\n')
}

function describeBalance(usage: AccountUsage): string {
  const lines: [string, number][] = [
    ['top-ups of earlier cycles', usage.creditsCarried],
    ['granted by the plan', usage.creditsGranted],
    ['topped up', usage.creditsToppedUp],
    ['used', -usage.creditsUsed],
    ['held', -usage.creditsHeld],
    [usage.isCurrent ? 'left' : 'left at the end of the cycle', usage.creditsRemaining],
  ]
  const [first, second] = [Math.max(...lines.map(([name]) => name.length)), Math.max(...lines.map(([, n]) => `${n}`.length))]
  return lines.map(([name, credits]) => `${name.padEnd(first)}  ${`${credits}`.padStart(second)}`).join('\n')
}

/** Returns no lines if there are no rows. */
function table(title: string, of: Column<Row>[], rows: Row[], rest: Row | null): string[] {
  return rows.length === 0 ? [] : [title, formatTable(of, rest === null ? rows : [...rows, rest])]
}

/** @param widths contains the maximum width of each column, by its title. */
function columns(widths: Record<string, number | null>): Column<Row>[] {
  return Object.entries(widths).map(([title, widthMax]) => ({
    title,
    value: (row) => row[title] ?? null,
    ...(widthMax !== null && { widthMax }),
  }))
}
