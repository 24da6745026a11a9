/** Says what is wrong with the environment and ends. `pnpm dev` asks first: its watcher would outlive the fault, waiting. */
import { readEnv } from './env.ts'

try {
  readEnv(process.env)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
