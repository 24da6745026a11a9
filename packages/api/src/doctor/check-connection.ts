import { type ConnectionFacts, readConnectionFacts, receivesNotifications } from '@keymeter/db'
import { type Finding, fault, ok, skipped } from './finding.ts'

/** Clocks that are synchronized differ by milliseconds. */
const CLOCK_DIFFERENCE_MS_MAX = 5_000
const LOOPBACK = new Set(['127.0.0.1', '[::1]', 'localhost', ''])

export interface DatabaseUrls {
  /** MIGRATION_DATABASE_URL. */
  owner: string
  /** DATABASE_URL. */
  server: string | null
  /** DATABASE_DIRECT_URL. */
  direct: string | null
}

/** Opens one connection to each URL, and checks who is at its other end. */
export async function checkConnections({ owner, server, direct }: DatabaseUrls): Promise<Finding[]> {
  const ofOwner = await readConnectionFacts(owner)
  const encryptionOfOwner: Encryption = ['MIGRATION_DATABASE_URL', owner, ofOwner.isEncrypted]
  const withoutServer = (finding: Finding) => [checkClock(ofOwner), checkEncryption([encryptionOfOwner]), finding]
  if (server === null) return withoutServer(skipped('server connection', 'DATABASE_URL is not set here.'))
  let ofServer: ConnectionFacts
  try {
    ofServer = await readConnectionFacts(server)
  } catch (error) {
    return withoutServer(fault('server connection', `DATABASE_URL: ${messageOf(error)}.`, 'Correct DATABASE_URL.'))
  }
  return [
    checkClock(ofServer),
    checkServerConnection(ofServer, ofOwner),
    await checkNotifications(ofServer, { owner, listener: direct ?? server, isDirect: direct !== null }),
    checkEncryption([encryptionOfOwner, ['DATABASE_URL', server, ofServer.isEncrypted]]),
  ]
}

/** Compares the clocks. Tokens and time limits are wrong if they differ by more than a few seconds. */
export function checkClock({
  clockAheadMs,
  clockUncertaintyMs,
}: Pick<ConnectionFacts, 'clockAheadMs' | 'clockUncertaintyMs'>): Finding {
  const seconds = (Math.abs(clockAheadMs) / 1000).toFixed(1)
  return Math.abs(clockAheadMs) - clockUncertaintyMs > CLOCK_DIFFERENCE_MS_MAX
    ? fault(
        'clock',
        `The database is ${seconds} s ${clockAheadMs > 0 ? 'ahead of' : 'behind'} this machine.`,
        'Synchronize both clocks, e.g. with chrony.',
      )
    : ok('clock', `The database and this machine differ by ${seconds} s.`)
}

function checkServerConnection(server: ConnectionFacts, owner: ConnectionFacts): Finding {
  const name = 'server connection'
  if (server.role !== 'keymeter_api')
    return fault(
      name,
      `DATABASE_URL logs in as ${server.role}.`,
      'Log in as keymeter_api. Row level security applies only to it.',
    )
  if (server.isStandby) return fault(name, 'DATABASE_URL leads to a standby.', 'Let DATABASE_URL lead to the primary.')
  if (server.database !== owner.database)
    return fault(
      name,
      'DATABASE_URL and MIGRATION_DATABASE_URL lead to different databases.',
      'Let both lead to the same database.',
    )
  return ok(name, `DATABASE_URL logs in as keymeter_api, ${server.isPooled ? 'through a pooler' : 'without a pooler'}.`)
}

async function checkNotifications(
  { isPooled }: ConnectionFacts,
  { owner, listener, isDirect }: { owner: string; listener: string; isDirect: boolean },
): Promise<Finding> {
  const variable = isDirect ? 'DATABASE_DIRECT_URL' : 'DATABASE_URL'
  const arrives = await receivesNotifications(listener, owner).catch(() => false)
  if (arrives) return ok('notifications', `They arrive over ${variable}, so the dashboard shows charges immediately.`)
  return fault(
    'notifications',
    `They do not arrive over ${variable}${isPooled && !isDirect ? ', which leads to a pooler' : ''}. The dashboard shows charges late.`,
    'Set DATABASE_DIRECT_URL to a URL of the database without a pooler in transaction mode.',
  )
}

type Encryption = [variable: string, url: string, isEncrypted: boolean]

/** Checks that each connection that leaves this machine is encrypted. */
export function checkEncryption(urls: Encryption[]): Finding {
  const plain = urls.filter(([, url, isEncrypted]) => !isEncrypted && !LOOPBACK.has(URL.parse(url)?.hostname ?? ''))
  return plain.length === 0
    ? ok('encryption', 'Every connection to a database on another machine is encrypted.')
    : fault(
        'encryption',
        `Not encrypted: ${plain.map(([variable]) => variable).join(', ')}.`,
        'Add ?sslmode=verify-full to the URL, and sslrootcert if the certificate is not public.',
      )
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
