import { run } from '../src/run.ts'

export interface CommandOptions {
  /** The settings that the command reads, e.g. MIGRATION_DATABASE_URL. Null means that the setting is not set. */
  settings: Record<string, string | null>
  /** The first line of the standard input. */
  input?: string
  /** The person who is asked for a confirmation. By default, nobody can be asked. */
  confirm?: ((question: string) => Promise<boolean>) | null
  /** True if stderr is a terminal. */
  isInteractive?: boolean
}

/** Runs one command line in this process, and returns its exit code and everything that it writes. */
export async function runCommand(
  args: readonly string[],
  { settings, input = '', confirm = null, isInteractive = false }: CommandOptions,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = { stdout: '', stderr: '' }
  const code = await run(args, {
    readSetting: (name) => settings[name] ?? null,
    stdout: (text) => {
      output.stdout += text
    },
    stderr: (text) => {
      output.stderr += text
    },
    isInteractive,
    readInput: async () => input,
    confirm,
  })
  return { code, ...output }
}
