import type { Logger } from 'pino'

/** At most this number of lines is written in each window. An attacker can cause thousands of refusals per second. */
const LINES_MAX = 1_000
const WINDOW_MS = 10_000

/** Writes lines about refused calls, and counts those that it does not write. */
export class RefusalLog {
  readonly #log: Logger
  readonly #linesMax: number
  readonly #windowMs: number
  #lines = 0

  constructor(log: Logger, { linesMax = LINES_MAX, windowMs = WINDOW_MS } = {}) {
    this.#log = log
    this.#linesMax = linesMax
    this.#windowMs = windowMs
  }

  /** Writes a line at level `info`. When a window with too many lines ends, one more line has the number of the others. */
  write(log: Logger, line: object): void {
    if (this.#lines === 0) setTimeout(() => this.#endWindow(), this.#windowMs).unref()
    if (++this.#lines <= this.#linesMax) log.info(line, 'call refused')
  }

  #endWindow(): void {
    const unwritten = this.#lines - this.#linesMax
    this.#lines = 0
    if (unwritten > 0) this.#log.warn({ unwritten }, 'more calls were refused than the log may name')
  }
}
