import type { Db } from '@keymeter/db'
import { type AuthSettings, checkAuthServer } from './check-auth-server.ts'
import { checkConnections, type DatabaseUrls } from './check-connection.ts'
import { checkConnectionLimit, checkDatabaseSettings } from './check-database.ts'
import { checkMailServer } from './check-mail-server.ts'
import { checkMigrations } from './check-migrations.ts'
import { checkPermissions } from './check-permissions.ts'
import type { Finding } from './finding.ts'

export interface Deployment {
  urls: DatabaseUrls
  auth: AuthSettings
  /** SMTP_URL. */
  smtpUrl: string | null
  /** The versions of the migrations of this release. */
  migrations: readonly string[]
}

/**
 * Examines a deployment: the migrations, the role of the server, rights, policies, clocks, connections, the auth server and the mail server.
 * Changes nothing. `db` must be the handle of the database's owner.
 */
export async function examine(db: Db, { urls, auth, smtpUrl, migrations }: Deployment): Promise<Finding[]> {
  const ofMigrations = await checkMigrations(db, migrations)
  // The next checks expect the schema of this release.
  if (ofMigrations.status === 'fault') return [ofMigrations]
  return [
    ofMigrations,
    ...(await checkPermissions(db)),
    await checkDatabaseSettings(db),
    await checkConnectionLimit(db),
    ...(await checkConnections(urls)),
    await checkAuthServer(auth),
    await checkMailServer(smtpUrl),
  ]
}
