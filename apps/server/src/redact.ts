const REDACTED = '[secret]'
const SECRET_NAMES =
  '(?:password|passwd|passphrase|secret|token|cookie|authorization|(?:api|service|secret|access|private|encryption)[_-]?key)'

/**
 * The shapes of secrets, and of the places in which secrets are.
 *
 * A line of any length is searched in linear time, because only the end of a pattern has an unlimited quantifier: an attempt
 * that fails ends after a limited number of characters, and an attempt that succeeds consumes what it has read. A test checks
 * this rule. The patterns have no word boundaries, because a secret can be glued to any other text.
 */
export const PATTERNS = {
  /** A key prefix is shorter. It is not a secret. */
  apiKey: /[a-z0-9]{0,16}_(?:dev|prod)_[0-9A-Za-z]{20,}/g,
  /** The token of an invitation. The underscore can be written as in a URL. */
  invitationToken: /kminv(?:_|%5f|%255f)[\w-]{20,}/gi,
  /** An access token. `eyJ` is the beginning of an object in base64. */
  accessToken: /eyJ[\w.-]{8,}/g,
  /** The credentials of an `authorization` header. A shorter text is part of a sentence, e.g. "Bearer token". */
  credentials: /(?:bearer|basic)(?: |%20|\+){1,4}[^\s"'\\,;]{8,}/gi,
  /** The value of a field in a URL, a form, or a header. */
  plainField: new RegExp(`(?<=${SECRET_NAMES}(?:=|%3d|: ?))[^\\s"'\\\\&,;#]{1,}`, 'gi'),
  /** The name of a field in JSON or in code, up to the quotation mark before its value. Inside a text, the mark is escaped. */
  quotedField: new RegExp(`${SECRET_NAMES}(?:\\\\{0,15}["'])?\\s{0,4}[:=]\\s{0,4}(\\\\{0,15})(["'])`, 'gi'),
  /** The part of a URL that can contain a user name and a password. */
  authority: /:\/\/[^\s"/?#]{1,}/g,
} as const

/** The shortest known secret that is replaced everywhere. A shorter text can be an ordinary word. */
const KNOWN_LENGTH_MIN = 12

/**
 * Returns a function that replaces the secrets in a line of JSON with `[secret]`. The line stays valid JSON.
 *
 * @param known The secrets of this process, which are found by their value.
 */
export function createRedaction(known: readonly (string | null)[]): (line: string) => string {
  const values = new Set(known.flatMap((secret) => (secret === null ? [] : writtenForms(secret))))
  return (line) => {
    let text = line
    for (const value of values) text = text.replaceAll(value, REDACTED)
    text = withoutQuotedFields(text)
    for (const shape of [
      PATTERNS.apiKey,
      PATTERNS.invitationToken,
      PATTERNS.accessToken,
      PATTERNS.credentials,
      PATTERNS.plainField,
    ])
      text = text.replace(shape, REDACTED)
    return text.replace(PATTERNS.authority, withoutPassword)
  }
}

/** Returns the secret as it is written in a text, in JSON, in JSON inside a text, and in a URL. */
function writtenForms(secret: string): string[] {
  if (secret.length < KNOWN_LENGTH_MIN) return []
  const inJson = JSON.stringify(secret).slice(1, -1)
  return [secret, inJson, JSON.stringify(inJson).slice(1, -1), encodeURIComponent(secret)]
}

/** The password ends at the last `@`, because a password that is not encoded can contain an `@`. */
function withoutPassword(authority: string): string {
  const [start, end] = [authority.indexOf(':', 1), authority.lastIndexOf('@')]
  return start < 0 || end < start ? authority : `${authority.slice(0, start + 1)}${REDACTED}${authority.slice(end)}`
}

/** Each search begins where the previous value ends, so the time is linear. */
function withoutQuotedFields(text: string): string {
  const { quotedField } = PATTERNS
  let result = ''
  let done = 0
  quotedField.lastIndex = 0
  for (let field = quotedField.exec(text); field !== null; field = quotedField.exec(text)) {
    const [, backslashes = '', mark = ''] = field
    const start = quotedField.lastIndex
    const end = endOfValue(text, start, mark, backslashes.length)
    result += text.slice(done, start) + REDACTED
    done = end
    quotedField.lastIndex = end
  }
  return result + text.slice(done)
}

/**
 * Returns the index at which a quoted value ends. A mark with more backslashes than the mark that began the value belongs to the
 * value. The line itself is JSON, so a quotation mark with an even number of backslashes ends the text that contains the value.
 */
function endOfValue(text: string, start: number, mark: string, backslashes: number): number {
  let count = 0
  for (let i = start; i < text.length; i++) {
    if ((text[i] === mark && count <= backslashes) || (text[i] === '"' && count % 2 === 0))
      return i - Math.min(count, backslashes)
    count = text[i] === '\\' ? count + 1 : 0
  }
  return text.length
}
