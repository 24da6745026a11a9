import { type ChildProcess, spawn } from 'node:child_process'

/**
 * A shell script that waits for the end of its standard input and then kills the process `$0`. The input ends when the test
 * process ends in any way.
 */
const WATCH = 'while read -r line; do :; done; kill -9 "$0"'

/** Kills `child` when the test process ends, even by SIGKILL. */
export function endWithThisProcess(child: ChildProcess): void {
  // The shell is detached. Otherwise Ctrl-C in the terminal would end the shell before it has killed the child.
  const watch = spawn('sh', ['-c', WATCH, String(child.pid)], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  watch.stdin.on('error', () => {})
  // After the child has ended, its process id can be given to another process. So the shell ends with the child.
  child.once('exit', () => watch.kill('SIGKILL'))
}
