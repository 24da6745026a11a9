import { isolated, UserText } from '../ui/user-text.tsx'

const DELETED = 'Deleted key'

interface KeyNameProps {
  /** Null means that the key was deleted. */
  name: string | null
  /** The key prefix distinguishes keys with the same name. Leave it out only if it is shown next to the name. */
  keyPrefix?: string | null
}

/** Shows the name of a key. All pages, dialogs and messages use this component, because any user text must be isolated. */
export function KeyName({ name, keyPrefix }: KeyNameProps) {
  return (
    <>
      {name === null ? DELETED : <UserText>{name}</UserText>}
      {keyPrefix && (
        <>
          {' '}
          <span className="whitespace-nowrap">({keyPrefix}…)</span>
        </>
      )}
    </>
  )
}

/** Returns the same as a text, for a label that only screen readers use. */
export function keyNameText({ name, keyPrefix }: KeyNameProps): string {
  const text = name === null ? DELETED : isolated(name)
  return keyPrefix ? `${text} (${keyPrefix}…)` : text
}
