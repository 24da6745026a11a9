import { type DestinationStream, type Logger, pino } from 'pino'

/** An API key, an access token, a password in a URL: shapes that must not reach a log in any field, at any depth. */
const SECRETS =
  /\b[a-z][a-z0-9]{0,15}_(?:dev|prod)_[0-9A-Za-z]{20,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*|(?<=:\/\/[^:@/\s"]*:)[^@/\s"]+(?=@)/g

/**
 * One JSON line an event. Redaction works on the finished line, because a secret may hide in a message, a URL or a cause.
 *
 * @param destination where the lines go, when not to standard output.
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
