/**
 * Runs one command for as long as the process that started it lives: when the guard's standard input ends, because the
 * parent closed it or died by whatever means, the command gets `signal`, and the guard ends with it.
 *
 *   node guard.ts <signal> <uid:gid or -> <command> [argument…]
 */
import { spawn } from 'node:child_process'

/** A command that does not end when it is told to is ended. Longer than the server gives what is in flight. */
const KILL_AFTER_MS = 15_000

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
// Only the parent decides: Ctrl-C reaches the whole terminal, but the parts must stop in order.
process.on('SIGINT', () => {}).on('SIGTERM', stop)
