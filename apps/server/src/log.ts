import { type DestinationStream, type Logger, pino } from 'pino'

/** Matches API keys, access tokens, and passwords in URLs. */
const SECRETS =
  /\b[a-z][a-z0-9]{0,15}_(?:dev|prod)_[0-9A-Za-z]{20,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*|(?<=:\/\/[^:@/\s"]*:)[^@/\s"]+(?=@)/g

/**
 * Creates a logger that writes JSON lines. The logger removes secrets from each finished line, because a secret can be in a
 * message, in a URL or in the cause of an error.
 *
 * @param destination is standard output by default.
 */
export function createLog(level: string, destination: DestinationStream = pino.destination(1)): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      hooks: { streamWrite: (line) => line.replace(SECRETS, '[secret]') },
    },
    destination,
  )
}
