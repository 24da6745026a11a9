import { TRPCError } from '@trpc/server'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { describeError } from './errors.ts'

/** Returns what the caller of a procedure with this input sees. */
function faultsOf(schema: z.ZodType, input: unknown) {
  const { error } = schema.safeParse(input)
  return describeError(new TRPCError({ code: 'BAD_REQUEST', cause: error }))
}
const faultOf = (schema: z.ZodType, input: unknown) => faultsOf(schema, input).message

describe('the message for an invalid input', () => {
  it('says what to send instead, for every kind of fault', () => {
    const fields = z.strictObject({ name: z.string(), kind: z.enum(['a', 'b']) })
    expect(faultOf(fields, {})).toBe('name: This is missing: send a text. kind: Send one of "a", "b".')
    expect(faultOf(fields, undefined)).toBe('This is missing: send an object with the documented fields.')
    expect(faultOf(fields, [])).toBe('This is not valid: send an object with the documented fields.')
    expect(faultOf(fields, { name: 1, kind: 'a' })).toBe('name: This is not valid: send a text.')
    expect(faultOf(fields, { name: 'x', kind: 'a', more: 1 })).toBe('There are unknown fields: leave out more.')
    expect(faultOf(z.literal('forward'), 1)).toBe('Send "forward".')
    expect(faultOf(z.string().max(3), 'four')).toBe('Use at most 3 characters.')
    expect(faultOf(z.string().min(3), '')).toBe('Use at least 3 characters.')
    expect(faultOf(z.array(z.int()).max(2), [1, 2, 3])).toBe('Send at most 2 items.')
    expect(faultOf(z.array(z.int()).min(1), [])).toBe('Send at least 1 item.')
    expect(faultOf(z.int().max(3), 4)).toBe('Send at most 3.')
    expect(faultOf(z.int().min(3), 2)).toBe('Send at least 3.')
    expect(faultOf(z.int(), 1.5)).toBe('This is not valid: send a whole number up to 9,007,199,254,740,991.')
    expect(faultOf(z.guid(), 'x')).toBe('Send an id, like 2f1c9a0e-6d0b-4f3e-9a51-7c3b8f2d1e60.')
    expect(faultOf(z.iso.datetime(), 'x')).toBe('Send a moment as ISO-8601, like 2027-01-31T12:00:00Z.')
    expect(faultOf(z.union([z.string(), z.int()]), null)).toBe('This is not valid: send a value as documented.')
  })

  it('a schema that has its own message keeps it', () => {
    expect(faultOf(z.string('Enter a name.'), 1)).toBe('Enter a name.')
    expect(faultOf(z.string().min(3, 'Enter three.'), '')).toBe('Enter three.')
  })

  it('an error names at most 20 invalid fields, so a small request cannot cause a large answer', () => {
    const list = z.strictObject({ list: z.array(z.int()) })
    const { issues, message } = faultsOf(list, { list: Array(20).fill('x') })
    expect(issues).toHaveLength(20)
    expect(message).toContain('list.19')
    expect(faultsOf(list, { list: Array(21).fill('x') })).toMatchObject({ issues, message })
  })

  it('an error names at most three unknown fields, and cuts their names', () => {
    const empty = z.strictObject({})
    expect(faultOf(empty, { a: 1, b: 1, c: 1 })).toBe('There are unknown fields: leave out a, b, c.')
    const names = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`${n}`.padStart(33, 'x'), n]))
    const shown = `${'x'.repeat(32)}, ${'x'.repeat(32)}, ${'x'.repeat(32)}, and 997 others`
    expect(faultOf(empty, names)).toBe(`There are unknown fields: leave out ${shown}.`)
  })
})
