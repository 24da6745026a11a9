import type { CallError } from './call-error.ts'

/** What the server found wrong with those fields of a form. */
export function fieldFaults<Field extends string>(
  error: CallError,
  fields: readonly Field[],
): { field: Field; message: string }[] {
  return error.issues.flatMap((issue) => {
    const field = fields.find((candidate) => candidate === issue.field)
    return field === undefined ? [] : [{ field, message: issue.message }]
  })
}
