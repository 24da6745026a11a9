import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { answerOf } from './answer-of.ts'

/** A secret is shorter than this number of characters. */
const INPUT_LENGTH_MAX = 4_096

/**
 * Returns the only line of the standard input. Blank lines do not count. On a terminal, it first asks for the line, and does not
 * show what the person types, because the line is a secret.
 *
 * @throws Error if there are several lines. The command would otherwise handle only one of several secrets.
 */
export async function readInput(): Promise<string> {
  if (process.stdin.isTTY) return await askHidden('Paste the secret, then press Enter: ')
  let text = ''
  for await (const part of process.stdin.setEncoding('utf8')) {
    text += part
    if (text.length > INPUT_LENGTH_MAX) break
  }
  const lines = text
    .slice(0, INPUT_LENGTH_MAX)
    .split('\n')
    .filter((line) => line.trim() !== '')
  if (lines.length > 1) throw new Error('The standard input has several lines. Pass one secret at a time.')
  return lines[0] ?? ''
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
