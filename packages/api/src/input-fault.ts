import { cutSecrets } from '@keymeter/contract'
import type { z } from 'zod'

/** An unknown field can have a name of any length, and there can be any number of them. */
const UNKNOWN_FIELDS_SHOWN_MAX = 3
const UNKNOWN_FIELD_LENGTH_MAX = 32

/** The kinds of values as a person calls them. */
const KINDS: Record<string, string> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number up to 9,007,199,254,740,991',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object with the documented fields',
  null: 'null',
}

const FORMATS: Record<string, string> = {
  email: 'an e-mail address, like name@example.com',
  guid: 'an id, like 2f1c9a0e-6d0b-4f3e-9a51-7c3b8f2d1e60',
  uuid: 'an id, like 2f1c9a0e-6d0b-4f3e-9a51-7c3b8f2d1e60',
  datetime: 'a moment as ISO-8601, like 2027-01-31T12:00:00Z',
  url: 'a URL, like https://example.com',
}

/**
 * Describes an invalid input to the caller, and what to send instead. It replaces the sentences of zod, but not the message of
 * a schema that has one.
 */
export function describeInputFault(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type': {
      const kind = KINDS[issue.expected] ?? 'a value as documented'
      return issue.input === undefined ? `This is missing: send ${kind}.` : `This is not valid: send ${kind}.`
    }
    case 'invalid_value':
      return issue.values.length === 1
        ? `Send ${JSON.stringify(issue.values[0])}.`
        : `Send one of ${issue.values.map((value) => JSON.stringify(value)).join(', ')}.`
    case 'too_big':
      return `${issue.origin === 'string' ? 'Use' : 'Send'} at most ${counted(issue.origin, issue.maximum)}.`
    case 'too_small':
      return `${issue.origin === 'string' ? 'Use' : 'Send'} at least ${counted(issue.origin, issue.minimum)}.`
    case 'invalid_format':
      return `Send ${FORMATS[issue.format] ?? 'a text of the documented form'}.`
    case 'unrecognized_keys': {
      const shown = issue.keys
        .slice(0, UNKNOWN_FIELDS_SHOWN_MAX)
        .map((key) => cutSecrets(key).slice(0, UNKNOWN_FIELD_LENGTH_MAX))
      const others = issue.keys.length - shown.length
      return `There are unknown fields: leave out ${shown.join(', ')}${others === 0 ? '' : `, and ${others} others`}.`
    }
    default:
      return 'This is not valid: send a value as documented.'
  }
}

function counted(origin: string, count: number | bigint): string {
  const unit = { string: ' character', array: ' item' }[origin]
  return unit === undefined ? `${count}` : `${count}${unit}${count === 1 ? '' : 's'}`
}
