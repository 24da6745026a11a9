/**
 * `pnpm keymeter <command>`: the operator's commands. They work on the database at MIGRATION_DATABASE_URL, as its owner,
 * because the server's own role sees one account at a time.
 * Exit codes: 0 all is well, 1 something was found, 2 the command could not run.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createDb, type Db } from '@keymeter/db'
import { InvalidArgumentError, program } from 'commander'
import { prettifyError, ZodError } from 'zod'
import { changePlanCommand, resumeCommand, showAccountCommand, suspendCommand, topUpCommand } from './account.ts'
import { type DropUsageOptions, dropUsageCommand, parseMonth } from './drop-usage.ts'
import { listPlansCommand, setPlanCommand } from './plan.ts'
import { reconcileCommand } from './reconcile.ts'
import { verifyAuditCommand } from './verify-audit.ts'

const REPOSITORY = join(import.meta.dirname, '../../..')

program
  .name('keymeter')
  .description('Operator’s commands. They take the database’s owner from MIGRATION_DATABASE_URL (see .env.example).')
  .showHelpAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))

program
  .command('verify-audit')
  .description('Recomputes every account’s audit chain and names the first broken link of each.')
  .option('--json', 'write one JSON object')
  .action(async (options: { json?: boolean }) => await withOwner(async (db) => await verifyAuditCommand(db, options)))

program
  .command('reconcile')
  .description(
    'Computes balances, roll-ups, holds, the ledger and cycles anew from the usage events and names every difference.',
  )
  .option('--json', 'write one JSON object')
  .action(async (options: { json?: boolean }) => await withOwner(async (db) => await reconcileCommand(db, options)))

program
  .command('plans')
  .description('Lists the plans.')
  .option('--json', 'write one JSON object')
  .action(async (options) => await withOwner(async (db) => await listPlansCommand(db, options)))

program
  .command('plan <name>')
  .description('Makes a plan, or changes how many credits it gives to accounts that change to it from now on.')
  .requiredOption('--credits <number>', 'credits a cycle', wholeNumber)
  .option('--json', 'write one JSON object')
  .action(async (name, options) => await withOwner(async (db) => await setPlanCommand(db, name, options)))

const ACCOUNT = 'An account is named by its id or its user’s e-mail address.'

program
  .command('account <account>')
  .description(`Shows what an account has. ${ACCOUNT}`)
  .option('--json', 'write one JSON object')
  .action(async (account, options) => await withOwner(async (db) => await showAccountCommand(db, account, options)))

program
  .command('top-up')
  .argument('<account>')
  .argument('<credits>', 'a whole number', wholeNumber)
  .description(`Gives an account credits that it keeps until they are spent. ${ACCOUNT}`)
  .option('--idempotency-key <key>', 'the same one grants once; without, one is made, and named on stderr')
  .option('--note <text>', 'shown to the customer')
  .option('--json', 'write one JSON object')
  .action(async (account, credits, options) => await withOwner(async (db) => await topUpCommand(db, account, credits, options)))

program
  .command('change-plan <account> <plan>')
  .description(`Puts an account on a plan: with more credits at once, with fewer from the next cycle on. ${ACCOUNT}`)
  .option('--json', 'write one JSON object')
  .action(async (account, plan, options) => await withOwner(async (db) => await changePlanCommand(db, account, plan, options)))

program
  .command('suspend <account>')
  .description(`Refuses every charge of an account from now on. ${ACCOUNT}`)
  .option('--json', 'write one JSON object')
  .action(async (account, options) => await withOwner(async (db) => await suspendCommand(db, account, options)))

program
  .command('resume <account>')
  .description(`Takes a suspension back. ${ACCOUNT}`)
  .option('--json', 'write one JSON object')
  .action(async (account, options) => await withOwner(async (db) => await resumeCommand(db, account, options)))

program
  .command('drop-usage')
  .description('Drops the usage events of whole months, where nothing needs them any more. Totals of every kind are kept.')
  .requiredOption('--before <month>', 'drop what is older than this month, in UTC: 2026-01', parseMonth)
  .option('--dry-run', 'say what would be dropped, or what stands against it, and change nothing')
  .option('--close-cycles', 'first turn idle accounts to their current billing cycle')
  .option('--json', 'write one JSON object')
  .action(async (options: DropUsageOptions) => await withOwner(async (db) => await dropUsageCommand(db, options)))

await program.parseAsync()

/** In digits alone: `Number` takes the empty text of a variable that is not set for 0. */
function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Write a whole number in digits alone, like 50000.')
  return Number(text)
}

/** Runs `command`, which answers whether all is well. */
async function withOwner(command: (db: Db) => Promise<boolean>): Promise<void> {
  let db: Db | undefined
  try {
    db = createDb(ownerUrl(), () => {}, { queryTimeoutMs: 0 })
    process.exitCode = (await command(db)) ? 0 : 1
  } catch (error) {
    console.error(`This did not work: ${why(error)}`)
    process.exitCode = 2
  } finally {
    await db?.destroy()
  }
}

function why(error: unknown): unknown {
  if (error instanceof ZodError) return prettifyError(error)
  // Of a host with several addresses, none of which answers: it says nothing itself.
  if (error instanceof AggregateError && error.message === '') return why(error.errors[0])
  return error instanceof Error ? error.message : error
}

/** From the environment, or else from `.env`, or else that of the embedded stack. Easily mistaken, so it is named. */
function ownerUrl(): string {
  const localDir = process.env['KEYMETER_LOCAL_DIR'] || join(REPOSITORY, '.local')
  for (const file of [join(REPOSITORY, '.env'), join(localDir, 'env')]) {
    if (process.env['MIGRATION_DATABASE_URL']) break
    delete process.env['MIGRATION_DATABASE_URL']
    if (existsSync(file)) process.loadEnvFile(file)
  }
  const url = process.env['MIGRATION_DATABASE_URL']
  if (!url) throw new Error('set MIGRATION_DATABASE_URL to the URL of the database’s owner (see .env.example).')
  const { host, pathname } = URL.parse(url) ?? { host: '', pathname: '@' }
  // A password with a slash in it, written as it is, is read as a part of the path.
  if (!pathname.includes('@')) console.error(`Database: ${host}${pathname}`)
  return url
}
