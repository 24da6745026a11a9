import { KEY_BRAND_DEFAULT, type OperatorCall } from '@keymeter/api/server'
import { ACCOUNTS_PAGE_MAX, AccountSort, AccountStatus, hasNoWholeSecret, MemberRole } from '@keymeter/contract'
import { ConnectionFailure, createDb, type Db } from '@keymeter/db'
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { prettifyError, ZodError } from 'zod'
import { putOnPlan, resume, showAccount, suspend, takeBack, topUp } from './account.ts'
import { type AccountsOptions, showAccounts } from './accounts.ts'
import { addOwnerToAccount } from './add-owner.ts'
import { removeMember, setRoleOfMember } from './change-member.ts'
import { closeAccountOfCustomer } from './close-account.ts'
import type { CommandResult } from './command-result.ts'
import { examineDeployment } from './doctor.ts'
import { type DropUsageOptions, dropOldUsage } from './drop-usage.ts'
import { eraseClosedAccount } from './erase-account.ts'
import { showKeys } from './find-key.ts'
import { type MigrateOptions, migrateDatabase } from './migrate.ts'
import { operatorCall } from './operator-call.ts'
import { showOperatorLog } from './operator-log.ts'
import { definePlan, showPlans } from './plan.ts'
import { printable } from './printable.ts'
import { reconcileUsage } from './reconcile.ts'
import { type RevokeOptions, revokeKey } from './revoke-key.ts'
import { showUsage } from './usage.ts'
import { verifyAuditLog } from './verify-audit.ts'

/** The functions through which a command reads its settings and writes its output. */
export interface Terminal {
  /** Returns the value of a setting (see .env.example), or null if it is not set. */
  readSetting(name: string): string | null
  stdout(text: string): void
  stderr(text: string): void
  /** True if stderr is a terminal. Progress is written only to a terminal. */
  isInteractive: boolean
  /** Returns the only line of the standard input. Throws if there are several lines. */
  readInput(): Promise<string>
  /** Asks a person for a confirmation. Null if the standard input is not a terminal. */
  confirm: ((question: string) => Promise<boolean>) | null
}

interface OutputOptions {
  json?: boolean
}

const ACCOUNT = 'Name the account by its id or by the e-mail address of a member.'
const MEMBER = 'the id or the e-mail address of a member of the account'
const SECRET_ON_INPUT = 'With -, the command reads a whole secret from the standard input, and never prints it.'
const SECRET_IN_ARGUMENT = `Error: An argument contains a whole secret. Other users of this machine can see arguments, and the shell keeps them in its history.
Pass the secret on standard input, e.g. \`keymeter find-key - < file\`. Then delete it from the history of the shell.
`

/**
 * Runs one command line.
 *
 * @returns the exit code: 0 if the command found nothing wrong, 1 if it found a fault, 2 if it could not run.
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  // This comes first, because an error about an argument prints the argument.
  if (!args.every(hasNoWholeSecret)) {
    terminal.stderr(SECRET_IN_ARGUMENT)
    return 2
  }
  let exitCode = 0
  const program = new Command('keymeter')
    .description('The operator’s commands. MIGRATION_DATABASE_URL is the URL of the database’s owner (see .env.example).')
    .showHelpAfterError()
    .configureOutput({ writeOut: terminal.stdout, writeErr: terminal.stderr })
    .exitOverride()
  const command = (name: string, description: string) =>
    program.command(name).description(description).option('--json', 'write one JSON object')
  const execute = async ({ json = false }: OutputOptions, work: (call: OperatorCall) => Promise<CommandResult>) => {
    exitCode = await runOnDatabase(terminal, json, work)
  }
  const showProgress = ({ json = false }: OutputOptions, text: string) => {
    if (terminal.isInteractive && !json) terminal.stderr(text)
  }

  command(
    'verify-audit',
    'Verifies the audit log of every account. Reports the first wrong or missing entry of each broken log.',
  ).action(
    async (options: OutputOptions) =>
      await execute(options, ({ db }) =>
        verifyAuditLog(db, (entries) => showProgress(options, `${entries} entries verified\r`)),
      ),
  )

  command(
    'reconcile',
    'Recomputes balances, roll-ups, holds, cycles and the ledger from the usage events. Reports each difference.',
  )
    .argument('[account]', `check only this account. ${ACCOUNT}`)
    .action(
      async (account: string | undefined, options: OutputOptions) =>
        await execute(options, ({ db }) => reconcileUsage(db, account, (name) => showProgress(options, `${name} …\n`))),
    )

  command(
    'doctor',
    'Examines a deployment: migrations, roles, rights, policies, clocks, connections and the auth server. Reports each fault and its repair.',
  )
    .option('--fix', 'first restore the role of the server, all rights and all policies, e.g. after a restore of a backup')
    .action(
      async (options: OutputOptions & { fix?: true }) =>
        await execute(options, ({ db }) => examineDeployment(db, terminal.readSetting, { fix: options.fix === true })),
    )

  command('migrate', 'Applies the pending migrations. Prints the database, and changes it only after you have confirmed.')
    .option('--yes', 'do not ask')
    .option('--dry-run', 'change nothing. Only list the pending migrations')
    .action(
      async (options: OutputOptions & MigrateOptions) =>
        await execute(options, ({ db }) =>
          migrateDatabase(db, options, {
            confirm: terminal.confirm,
            report: (line) => options.json !== true && terminal.stderr(line),
          }),
        ),
    )

  command('plans', 'Lists the plans.').action(
    async (options: OutputOptions) => await execute(options, ({ db }) => showPlans(db)),
  )

  command('plan', 'Creates a plan, or changes its credits. Accounts that are already on the plan keep their credits.')
    .argument('<name>')
    .requiredOption('--credits <number>', 'credits per cycle', parseWholeNumber)
    .action(
      async (name: string, options: OutputOptions & { credits: number }) =>
        await execute(options, ({ db }) => definePlan(db, name, options.credits)),
    )

  command('accounts', 'Lists accounts with their plan, their credits in the current cycle, their live keys and their last use.')
    .addOption(new Option('--sort <order>', 'by the time of the creation').choices(AccountSort.options))
    .option(
      '--search <text>',
      'an id, an e-mail address, or a part of an address. An id and a whole address also find users without an account',
    )
    .option('--plan <plan>', 'only accounts on this plan')
    .addOption(
      new Option(
        '--status <status>',
        'only accounts with this status; no_account lists users who have signed up but have no account yet',
      ).choices(AccountStatus.options),
    )
    .option('--limit <number>', `accounts per page, at most ${ACCOUNTS_PAGE_MAX}`, parseWholeNumber)
    .option('--cursor <cursor>', 'the cursor of the next page, which the previous page printed')
    .action(
      async ({ json, ...options }: OutputOptions & AccountsOptions) =>
        await execute(json === true ? { json } : {}, (call) =>
          showAccounts(call, options, () => showProgress(json === true ? { json } : {}, 'Searching …\r')),
        ),
    )

  command('usage', `Shows where the credits of an account went in one billing cycle. ${ACCOUNT}`)
    .argument('<account>')
    .option('--cycle <start>', 'the start of the cycle, e.g. 2027-01-31T12:00:00.000Z. The default is the current cycle')
    .action(
      async (account: string, options: OutputOptions & { cycle?: string }) =>
        await execute(options, (call) => showUsage(call, account, options)),
    )

  command(
    'find-key',
    'Finds whose key a secret belongs to, e.g. if a secret scanner has found it. The exit code is 1 if no key is found.',
  )
    .argument('[prefix]', `a key prefix, e.g. km_prod_Ab12Cd34. ${SECRET_ON_INPUT}`, '-')
    .action(
      async (prefix: string, options: OutputOptions) =>
        await execute(options, async (call) => {
          const wanted = prefix === '-' ? { secret: await terminal.readInput() } : { keyPrefix: prefix }
          return await showKeys(call, wanted)
        }),
    )

  command('revoke-key', 'Revokes a key of a customer, e.g. because its secret is public. This cannot be undone.')
    .argument('<key>', `the id of the key. ${SECRET_ON_INPUT}`)
    .option('--account <account>', `required with an id. ${ACCOUNT}`)
    .option('--reason <text>', 'a text that the customer sees in the audit log')
    .option('--yes', 'do not ask for a confirmation. Required if the standard input is not a terminal')
    .action(
      async (key: string, options: OutputOptions & RevokeOptions) =>
        await execute(options, async (call) => {
          const wanted = key === '-' ? { secret: await terminal.readInput() } : { keyId: key }
          return await revokeKey(call, wanted, options, terminal.confirm)
        }),
    )

  command(
    'operator-log',
    'Lists who has read data of customers with this CLI, newest first. The audit log contains the changes.',
  )
    .option('--account <account>', `only reads of this account. ${ACCOUNT}`)
    .option('--limit <number>', 'the number of entries', parseWholeNumber)
    .action(
      async (options: OutputOptions & { account?: string; limit?: number }) =>
        await execute(options, ({ db }) => showOperatorLog(db, options)),
    )

  command('account', `Shows an account, its members and its open invitations. ${ACCOUNT}`)
    .argument('<account>')
    .action(async (account: string, options: OutputOptions) => await execute(options, (call) => showAccount(call, account)))

  command('top-up', `Grants top-up credits to an account. They do not lapse when the billing cycle ends. ${ACCOUNT}`)
    .argument('<account>')
    .argument('<credits>', 'a whole number', parseWholeNumber)
    .option(
      '--idempotency-key <key>',
      'a name for this grant. A retry with the same name grants nothing more. By default, the command creates a name and writes it to stderr',
    )
    .option('--note <text>', 'a text that the customer sees in the ledger')
    .action(
      async (
        account: string,
        credits: number,
        { json, ...grant }: OutputOptions & { idempotencyKey?: string; note?: string },
      ) =>
        await execute(json === true ? { json } : {}, (call) =>
          topUp(call, account, credits, grant, (idempotencyKey) =>
            terminal.stderr(`To retry safely, pass --idempotency-key ${idempotencyKey}\n`),
          ),
        ),
    )

  command('take-back', `Takes back what is left of a top-up, e.g. after a payment was reversed. ${ACCOUNT}`)
    .argument('<account>')
    .argument('<top-up>', 'the idempotency key that granted the top-up')
    .option('--credits <number>', 'take back at most this number of credits. By default, all of the top-up', parseWholeNumber)
    .option(
      '--idempotency-key <key>',
      'a name for this request. A retry with the same name takes nothing more. By default, the command creates a name and writes it to stderr',
    )
    .option('--note <text>', 'a text that the customer sees in the ledger')
    .action(
      async (
        account: string,
        topUpKey: string,
        { json, ...request }: OutputOptions & { idempotencyKey?: string; credits?: number; note?: string },
      ) =>
        await execute(json === true ? { json } : {}, (call) =>
          takeBack(call, account, topUpKey, request, (idempotencyKey) =>
            terminal.stderr(`To retry safely, pass --idempotency-key ${idempotencyKey}\n`),
          ),
        ),
    )

  command(
    'change-plan',
    `Changes the plan of an account: immediately if the new plan grants more credits, otherwise from the next cycle on. ${ACCOUNT}`,
  )
    .argument('<account>')
    .argument('<plan>')
    .action(
      async (account: string, plan: string, options: OutputOptions) =>
        await execute(options, (call) => putOnPlan(call, account, plan)),
    )

  command('suspend', `Suspends an account: its charges and holds are refused until it is resumed. ${ACCOUNT}`)
    .argument('<account>')
    .action(async (account: string, options: OutputOptions) => await execute(options, (call) => suspend(call, account)))

  command('resume', `Ends the suspension of an account. ${ACCOUNT}`)
    .argument('<account>')
    .action(async (account: string, options: OutputOptions) => await execute(options, (call) => resume(call, account)))

  command('add-owner', `Makes a user an owner of an account, e.g. because its last owner was deleted in Supabase. ${ACCOUNT}`)
    .argument('<account>')
    .argument('<address>', 'the confirmed e-mail address of the user')
    .action(
      async (account: string, address: string, options: OutputOptions) =>
        await execute(options, (call) => addOwnerToAccount(call, account, address)),
    )

  command(
    'set-role',
    `Changes the role of a member. An account always has an owner. The keys of the member stay as they are. ${ACCOUNT}`,
  )
    .argument('<account>')
    .argument('<member>', MEMBER)
    .addArgument(new Argument('<role>').choices(MemberRole.options))
    .action(
      async (account: string, member: string, role: MemberRole, options: OutputOptions) =>
        await execute(options, (call) => setRoleOfMember(call, account, member, role)),
    )

  command(
    'remove-member',
    `Removes a member from an account, e.g. because a login was stolen. The keys of the member keep working. ${ACCOUNT}`,
  )
    .argument('<account>')
    .argument('<member>', MEMBER)
    .action(
      async (account: string, member: string, options: OutputOptions) =>
        await execute(options, (call) => removeMember(call, account, member)),
    )

  command(
    'close-account',
    `Deletes an account for its customers: revokes its keys and removes its members. This cannot be undone. ${ACCOUNT}`,
  )
    .argument('<account>')
    .option('--yes', 'do not ask for a confirmation. Required if the standard input is not a terminal')
    .action(
      async (account: string, options: OutputOptions & { yes?: true }) =>
        await execute(options, (call) => closeAccountOfCustomer(call, account, options, terminal.confirm)),
    )

  command(
    'erase-account',
    `Erases the data of a deleted account, except its audit log. A repeat continues after an interruption. ${ACCOUNT}`,
  )
    .argument('<account>')
    .option('--with-audit', 'also erase the audit log and the row of the account')
    .option('--yes', 'do not ask for a confirmation. Required if the standard input is not a terminal')
    .action(
      async (account: string, options: OutputOptions & { withAudit?: true; yes?: true }) =>
        await execute(options, (call) =>
          eraseClosedAccount(call, account, options, terminal.confirm, (rows) =>
            showProgress(options, `${rows} rows erased\r`),
          ),
        ),
    )

  command(
    'drop-usage',
    'Drops old usage events, in whole months. All totals are kept. If a month is still needed, reports why and drops nothing.',
  )
    .requiredOption('--before <month>', 'drop the months before this one, in UTC, e.g. 2026-01', parseMonth)
    .option('--dry-run', 'change nothing. Only report which months would be dropped, or why they cannot be dropped')
    .option('--close-cycles', 'first roll idle accounts over to their current billing cycle')
    .action(async (options: OutputOptions & DropUsageOptions) => await execute(options, ({ db }) => dropOldUsage(db, options)))

  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? 0 : 2
  }
}

/** Runs a command with the rights of the database owner, because the role of the server can see only one account at a time. */
async function runOnDatabase(
  terminal: Terminal,
  isJson: boolean,
  work: (call: OperatorCall) => Promise<CommandResult>,
): Promise<number> {
  let db: Db | undefined
  try {
    const url = terminal.readSetting('MIGRATION_DATABASE_URL')
    if (url === null) throw new Error('Set MIGRATION_DATABASE_URL to the URL of the database’s owner (see .env.example).')
    terminal.stderr(describeDatabase(url))
    db = createDb(url, () => {}, { queryTimeoutMs: 0 })
    const keyBrand = terminal.readSetting('KEYMETER_KEY_BRAND') ?? KEY_BRAND_DEFAULT
    const { json, text, isOk } = await work(operatorCall(db, keyBrand))
    terminal.stdout(`${printable(isJson ? JSON.stringify(json) : text)}\n`)
    return isOk ? 0 : 1
  } catch (error) {
    terminal.stderr(`Error: ${printable(String(messageOf(error)))}\n`)
    return 2
  } finally {
    await db?.destroy()
  }
}

/**
 * Returns a line with the host and the name of the database, because the operator may have several databases. Returns an empty
 * text if the URL is not valid.
 */
function describeDatabase(url: string): string {
  const { host, pathname } = URL.parse(url) ?? { host: '', pathname: '@' }
  // If the password contains a slash that is not escaped, the path contains the `@` and a part of the password. Do not print
  // it.
  return pathname.includes('@') ? '' : `Database: ${host}${pathname}\n`
}

function messageOf(error: unknown): unknown {
  if (error instanceof ZodError) return prettifyError(error)
  if (error instanceof ConnectionFailure) return messageOf(error.cause)
  // A host can have several addresses. If none of them accepts the connection, Node throws an AggregateError without a message.
  if (error instanceof AggregateError && error.message === '') return messageOf(error.errors[0])
  return error instanceof Error ? error.message : error
}

/** Accepts only digits, because `Number` converts an empty text to 0. */
function parseWholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Write a whole number with digits only, e.g. 50000.')
  return Number(text)
}

/** Returns the first moment of the month, in UTC. */
function parseMonth(text: string): Date {
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(text)) throw new InvalidArgumentError('Write a month like 2026-01.')
  return new Date(`${text}-01T00:00:00Z`)
}
