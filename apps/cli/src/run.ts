import { createDb, type Db } from '@keymeter/db'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { prettifyError, ZodError } from 'zod'
import { putOnPlan, resume, showAccount, suspend, topUp } from './account.ts'
import type { CommandResult } from './command-result.ts'
import { type DropUsageOptions, dropOldUsage } from './drop-usage.ts'
import { definePlan, showPlans } from './plan.ts'
import { reconcileUsage } from './reconcile.ts'
import { verifyAuditLog } from './verify-audit.ts'

/** The surroundings of a command. */
export interface Terminal {
  /** Returns the URL of the database's owner, or throws when there is none. */
  readOwnerUrl(): string
  stdout(text: string): void
  stderr(text: string): void
  /** Whether a person sees stderr. Only then progress is shown. */
  isInteractive: boolean
}

interface OutputOptions {
  json?: boolean
}

const ACCOUNT = 'Name the account by its id or by the e-mail address of its user.'

/**
 * Runs one command line.
 *
 * @returns the exit code: 0 if all is well, 1 if the command found a fault, 2 if it could not run.
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  let exitCode = 0
  const program = new Command('keymeter')
    .description('The operator’s commands. MIGRATION_DATABASE_URL is the URL of the database’s owner (see .env.example).')
    .showHelpAfterError()
    .configureOutput({ writeOut: terminal.stdout, writeErr: terminal.stderr })
    .exitOverride()
  const command = (name: string, description: string) =>
    program.command(name).description(description).option('--json', 'write one JSON object')
  const execute = async ({ json = false }: OutputOptions, work: (db: Db) => Promise<CommandResult>) => {
    exitCode = await runOnDatabase(terminal, json, work)
  }
  const showProgress = ({ json = false }: OutputOptions, text: string) => {
    if (terminal.isInteractive && !json) terminal.stderr(text)
  }

  command('verify-audit', 'Recomputes the audit chain of every account, and reports the first broken link of each.').action(
    async (options: OutputOptions) =>
      await execute(options, (db) => verifyAuditLog(db, (entries) => showProgress(options, `${entries} entries verified\r`))),
  )

  command(
    'reconcile',
    'Recomputes balances, roll-ups, holds, cycles and the ledger from the usage events. Reports differences.',
  )
    .argument('[account]', `check only this account. ${ACCOUNT}`)
    .action(
      async (account: string | undefined, options: OutputOptions) =>
        await execute(options, (db) => reconcileUsage(db, account, (name) => showProgress(options, `${name} …\n`))),
    )

  command('plans', 'Lists the plans.').action(async (options: OutputOptions) => await execute(options, showPlans))

  command('plan', 'Creates a plan, or changes the credits that it grants to accounts that change to it later.')
    .argument('<name>')
    .requiredOption('--credits <number>', 'credits per cycle', parseWholeNumber)
    .action(
      async (name: string, options: OutputOptions & { credits: number }) =>
        await execute(options, (db) => definePlan(db, name, options.credits)),
    )

  command('account', `Shows an account. ${ACCOUNT}`)
    .argument('<account>')
    .action(async (account: string, options: OutputOptions) => await execute(options, (db) => showAccount(db, account)))

  command('top-up', `Grants an account credits that it keeps until they are spent. ${ACCOUNT}`)
    .argument('<account>')
    .argument('<credits>', 'a whole number', parseWholeNumber)
    .option(
      '--idempotency-key <key>',
      'grants the credits only once. Without it, the command creates one and writes it to stderr',
    )
    .option('--note <text>', 'a text that the customer sees')
    .action(
      async (
        account: string,
        credits: number,
        { json, ...grant }: OutputOptions & { idempotencyKey?: string; note?: string },
      ) =>
        await execute(json === true ? { json } : {}, (db) =>
          topUp(db, account, credits, grant, (idempotencyKey) =>
            terminal.stderr(`To retry safely, pass --idempotency-key ${idempotencyKey}\n`),
          ),
        ),
    )

  command(
    'change-plan',
    `Puts an account on a plan: immediately if the plan grants more credits, or else from the next cycle on. ${ACCOUNT}`,
  )
    .argument('<account>')
    .argument('<plan>')
    .action(
      async (account: string, plan: string, options: OutputOptions) =>
        await execute(options, (db) => putOnPlan(db, account, plan)),
    )

  command('suspend', `Refuses all charges and holds of an account from now on. ${ACCOUNT}`)
    .argument('<account>')
    .action(async (account: string, options: OutputOptions) => await execute(options, (db) => suspend(db, account)))

  command('resume', `Ends the suspension of an account. ${ACCOUNT}`)
    .argument('<account>')
    .action(async (account: string, options: OutputOptions) => await execute(options, (db) => resume(db, account)))

  command('drop-usage', 'Drops the usage events of whole months that nothing needs any more. All totals are kept.')
    .requiredOption('--before <month>', 'drop the months before this one, in UTC, e.g. 2026-01', parseMonth)
    .option('--dry-run', 'report what would be dropped, or why nothing can be, and change nothing')
    .option('--close-cycles', 'first move idle accounts to their current billing cycle')
    .action(async (options: OutputOptions & DropUsageOptions) => await execute(options, (db) => dropOldUsage(db, options)))

  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? 0 : 2
  }
}

/** Runs a command as the owner of the database, because the server's role sees only one account at a time. */
async function runOnDatabase(terminal: Terminal, isJson: boolean, work: (db: Db) => Promise<CommandResult>): Promise<number> {
  let db: Db | undefined
  try {
    const url = terminal.readOwnerUrl()
    terminal.stderr(describeDatabase(url))
    db = createDb(url, () => {}, { queryTimeoutMs: 0 })
    const { json, text, isOk } = await work(db)
    terminal.stdout(`${isJson ? JSON.stringify(json) : text}\n`)
    return isOk ? 0 : 1
  } catch (error) {
    terminal.stderr(`Error: ${messageOf(error)}\n`)
    return 2
  } finally {
    await db?.destroy()
  }
}

/** Names the database, because the operator may have several. Empty if the URL is not valid. */
function describeDatabase(url: string): string {
  const { host, pathname } = URL.parse(url) ?? { host: '', pathname: '@' }
  // In a URL that is not valid, a password with an unescaped slash is a part of the path.
  return pathname.includes('@') ? '' : `Database: ${host}${pathname}\n`
}

function messageOf(error: unknown): unknown {
  if (error instanceof ZodError) return prettifyError(error)
  // Node throws it without a message if no address of a host accepts the connection.
  if (error instanceof AggregateError && error.message === '') return messageOf(error.errors[0])
  return error instanceof Error ? error.message : error
}

/** Accepts only digits, because `Number` turns an empty text into 0. */
function parseWholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Write a whole number with digits only, e.g. 50000.')
  return Number(text)
}

/** Returns the first moment of the month, in UTC. */
function parseMonth(text: string): Date {
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(text)) throw new InvalidArgumentError('Write a month like 2026-01.')
  return new Date(`${text}-01T00:00:00Z`)
}
