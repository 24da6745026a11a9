/** Reports what is wrong with the environment. `pnpm dev` runs it first, because `node --watch` would not end after an error. */
import { readEnv } from './env.ts'

try {
  readEnv(process.env)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
