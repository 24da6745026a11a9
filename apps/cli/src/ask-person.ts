import { createInterface } from 'node:readline/promises'
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
  process.stderr.write(question)
  const hidden = new Writable({ write: (_, __, done) => done() })
  const reader = createInterface({ input: process.stdin, output: hidden, terminal: true })
  try {
    return (await reader.question('')).slice(0, INPUT_LENGTH_MAX)
  } finally {
    reader.close()
    process.stderr.write('\n')
  }
}

/** Asks a question on the terminal. Resolves to true if the person answers `yes`. */
export async function confirm(question: string): Promise<boolean> {
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^\s*yes\s*$/i.test(await reader.question(`${question} (yes or no) `))
  } finally {
    reader.close()
  }
}
