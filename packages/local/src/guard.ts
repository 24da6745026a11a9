/**
 * Runs one command for as long as its parent process lives. The parent holds the other end of the guard's standard input,
 * which ends when the parent closes it or dies in any way. Then the guard sends `signal` to the command and ends with it.
 *
 *   node guard.ts <signal> <uid:gid or -> <command> [argument…]
 */
import { spawn } from 'node:child_process'

/** How long the command may take to end after `signal`. The server needs up to 10 s to finish its requests. */
const KILL_AFTER_MS = 60_000

const [signal, user, command, ...args] = process.argv.slice(2)
if (signal === undefined || user === undefined || command === undefined) throw new Error('usage: guard.ts SIGNAL USER COMMAND…')

const [uid, gid] = user.split(':').map(Number)
const child = spawn(command, args, {
  stdio: ['ignore', 'inherit', 'inherit'],
  ...(user !== '-' && { uid, gid }),
})
child.on('error', (error) => {
  console.error(error.message)
  process.exit(127)
})
child.on('exit', (code) => process.exit(code ?? 1))

const stop = () => {
  child.kill(signal as NodeJS.Signals)
  setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS).unref()
}
process.stdin.on('end', stop).on('error', stop).resume()
// Ctrl-C reaches every process of the terminal, but the parts must stop in the parent's order.
process.on('SIGINT', () => {}).on('SIGTERM', stop)
