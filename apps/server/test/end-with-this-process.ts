import { type ChildProcess, spawn } from 'node:child_process'

/** Runs until its standard input ends, which it does with whoever holds the other end, however they end. */
const WATCH = "process.stdin.on('end', () => { try { process.kill(Number(process.argv[1]), 'SIGKILL') } catch {} }).resume()"

/** `child` ends when this process does, by whatever means, if nobody ended it before. */
export function endWithThisProcess(child: ChildProcess): void {
  // Detached: a signal to the terminal's group must not reach it first.
  const watch = spawn(process.execPath, ['-e', WATCH, '--', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watch.stdin.on('error', () => {})
  // Its number may be another process' from then on.
  child.once('exit', () => watch.kill('SIGKILL'))
}
