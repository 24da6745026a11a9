import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline/promises'
import { Writable } from 'node:stream'

/** A secret is shorter than this number of characters. */
const INPUT_LENGTH_MAX = 4_096

/**
 * Returns the first line of the standard input. On a terminal, it first asks for the line, and does not show what the person types,
 * because the line is a secret.
 */
export async function readInput(): Promise<string> {
  if (process.stdin.isTTY) return await askHidden('Paste the secret, then press Enter: ')
  let text = ''
  for await (const part of process.stdin.setEncoding('utf8')) {
    text += part
    if (text.includes('\n') || text.length > INPUT_LENGTH_MAX) break
  }
  return text.slice(0, INPUT_LENGTH_MAX).split('\n')[0] ?? ''
}

async function askHidden(question: string): Promise<string> {
  const hidden = new Writable({ write: (_, __, done) => done() })
  // The interface switches the echo of the terminal off. The question comes after that, so nothing that is typed is shown.
  const reader = createInterface({ input: process.stdin, output: hidden, terminal: true })
  process.stderr.write(question)
  const answer = await answerOf(reader, '')
  process.stderr.write('\n')
  return answer.slice(0, INPUT_LENGTH_MAX)
}

/** Asks a question on the terminal. Resolves to true if the person answers `yes`. */
export async function confirm(question: string): Promise<boolean> {
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  return /^\s*yes\s*$/i.test(await answerOf(reader, `${question} (yes or no) `))
}

/** Returns the answer. Ctrl-C ends the process. Ctrl-D, which closes the input, is an error. */
async function answerOf(reader: Interface, question: string): Promise<string> {
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
