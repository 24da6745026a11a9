/**
 * Returns true if a person has confirmed a change that cannot be undone.
 *
 * @param confirm asks a person. Null means that nobody can be asked. The command then needs the option `yes`.
 */
export async function isConfirmed(question: string, yes: true | undefined, confirm: Confirm): Promise<boolean> {
  if (yes === true) return true
  if (confirm === null) throw new Error('This cannot be undone. Pass --yes to confirm it.')
  return await confirm(question)
}

export type Confirm = ((question: string) => Promise<boolean>) | null

/** The result of a command if the person did not confirm. */
export const UNCHANGED = 'Nothing was changed.'
