/** The result of a command. `run` writes it as text or as JSON. */
export interface CommandResult {
  /** The object that is written with `--json`. */
  json: object
  text: string
  /** True if the command found nothing wrong. The exit code is then 0, otherwise 1. */
  isOk: boolean
}
