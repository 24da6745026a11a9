/** The result of a command. One place writes it, as text or as JSON. */
export interface CommandResult {
  /** Written by `--json`. */
  json: object
  text: string
  /** Whether the command found nothing wrong: the exit code is 0, or else 1. */
  isOk: boolean
}
