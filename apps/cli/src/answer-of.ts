import { once } from 'node:events'
import type { Interface } from 'node:readline/promises'

/** Asks a question on the terminal, and returns the answer. Ctrl-C ends the process. Ctrl-D, which closes the input, is an error. */
export async function answerOf(reader: Interface, question: string): Promise<string> {
  let isInterrupted = false
  reader.once('SIGINT', () => {
    isInterrupted = true
    reader.close()
  })
  const closed = once(reader, 'close')
  const answer = await Promise.race([reader.question(question), closed.then(() => '')])
  reader.close()
  if (isInterrupted) process.kill(process.pid, 'SIGINT')
  return answer
}
