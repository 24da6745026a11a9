/**
 * Checks the environment variables and prints what is wrong. `pnpm dev` runs this script first, because `node --watch` does not
 * end when the server fails to start.
 */
import { readEnv } from './env.ts'

try {
  readEnv(process.env)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
