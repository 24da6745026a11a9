/**
 * Runs one command, and stops the command when the parent of this process ends. The standard input of this process is a pipe
 * from the parent. The pipe closes when the parent closes it or ends for any reason. Then this process sends `signal` to the
 * command, and ends when the command ends.
 *
 *   node guard.ts <signal> <uid:gid or -> <command> [argument…]
 */
import { spawn } from 'node:child_process'

/** If the command still runs this long after `signal`, it is killed. The server needs up to 10 s to finish its requests. */
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
// The guard ignores SIGINT, so Ctrl-C cannot stop the command. Only the parent decides when each of its commands stops.
process.on('SIGINT', () => {}).on('SIGTERM', stop)
