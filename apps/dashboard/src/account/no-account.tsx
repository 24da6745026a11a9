import { OpenAccount } from './open-account.tsx'

/** The page of a person who is a member of no account, e.g. because they left or closed the last one. */
export function NoAccount() {
  return (
    <div className="grid justify-items-center gap-4 py-16 text-center">
      <title>No account · Keymeter</title>
      <h1 className="text-xl font-semibold">You are not a member of any account</h1>
      <p className="max-w-md text-ink-soft">
        Open an account to create API keys. If somebody has invited you to their account, open the link of the invitation
        instead.
      </p>
      <OpenAccount label="Open an account" className="justify-items-center" />
    </div>
  )
}
