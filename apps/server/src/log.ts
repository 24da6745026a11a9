import { type DestinationStream, type Logger, pino } from 'pino'
import { createRedaction } from './redact.ts'

interface LogOptions {
  level: string
  /** The secrets of this process. The log replaces them wherever they occur. */
  secrets: readonly (string | null)[]
}

/**
 * Creates a logger that writes JSON lines. The logger removes secrets from each finished line, because a secret can be in a
 * message, in a URL or in the cause of an error.
 *
 * @param destination is standard output by default.
 */
export function createLog({ level, secrets }: LogOptions, destination: DestinationStream = pino.destination(1)): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      hooks: { streamWrite: createRedaction(secrets) },
    },
    destination,
  )
}
