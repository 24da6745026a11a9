import { UserText } from '../ui/user-text.tsx'

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
      {name === null ? 'Deleted key' : <UserText>{name}</UserText>}
      {keyPrefix && (
        <>
          {' '}
          <span className="whitespace-nowrap">({keyPrefix}…)</span>
        </>
      )}
    </>
  )
}
