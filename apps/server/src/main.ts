/** The production server. One process serves the API and the built dashboard. */
import { builtDashboard } from './built-dashboard.ts'
import { readEnv, secretsOf } from './env.ts'
import { createLog } from './log.ts'
import { serve } from './serve.ts'
import { warnAboutPlainConnections } from './warn-about-plain-connections.ts'

try {
  const env = readEnv(process.env)
  const log = createLog({ level: env.logLevel, secrets: secretsOf(env) })
  warnAboutPlainConnections(env, log)
  await serve(env, log, () => ({ dashboard: builtDashboard(env) }))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
