import { type ChildProcess, spawn } from 'node:child_process'

/** Reads until its standard input ends, which happens when this process ends in any way. */
const WATCH = 'while read -r line; do :; done; kill -9 "$0"'

/** Kills `child` when this process ends, even by SIGKILL. */
export function endWithThisProcess(child: ChildProcess): void {
  // Detached, so that a Ctrl-C in the terminal does not end the watch first.
  const watch = spawn('sh', ['-c', WATCH, String(child.pid)], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  watch.stdin.on('error', () => {})
  // Later, another process may have the same process id.
  child.once('exit', () => watch.kill('SIGKILL'))
}
