import { createInterface } from 'node:readline/promises'
import { answerOf } from './answer-of.ts'

/** Asks a question on the terminal. Resolves to true if the person answers `yes`. */
export async function confirm(question: string): Promise<boolean> {
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  return /^\s*yes\s*$/i.test(await answerOf(reader, `${question} (yes or no) `))
}
