/** The production server. One process serves the API and the built dashboard. */
import { builtDashboard } from './built-dashboard.ts'
import { readEnv } from './env.ts'
import { createLog } from './log.ts'
import { serve } from './serve.ts'

try {
  const env = readEnv(process.env)
  await serve(env, createLog(env.logLevel), () => ({ dashboard: builtDashboard(env.supabaseUrl) }))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
