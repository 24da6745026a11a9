import { useQuery } from '@tanstack/react-query'
import { useAccounts } from '../account/current-account.ts'
import { currentUser } from '../call/credentials.ts'
import { useSession } from '../call/session.ts'
import { AccountsSection } from './accounts-section.tsx'
import { AddressSection } from './address-section.tsx'
import { DeleteSection } from './delete-section.tsx'
import { DisplaySection } from './display-section.tsx'
import { PasswordSection } from './password-section.tsx'
import { SecondFactorSection } from './second-factor-section.tsx'
import { SessionsSection } from './sessions-section.tsx'
import { YourDataSection } from './your-data-section.tsx'

/** A person without an account sees this page too, because the sign-in stays when the last account is gone. */
export function SettingsPage() {
  const session = useSession()
  const accounts = useAccounts()
  const asked = useQuery({ queryKey: ['user'], queryFn: currentUser })
  // If Supabase Auth does not answer, the user of the session is a good enough copy.
  const user = asked.data ?? session?.user
  return (
    <>
      <title>Settings · Keymeter</title>
      <h1 className="text-xl font-semibold">Settings</h1>
      {user !== undefined && (
        <>
          <AddressSection user={user} />
          <PasswordSection user={user} />
          <SecondFactorSection user={user} />
        </>
      )}
      {session !== null && <SessionsSection session={session} />}
      <DisplaySection />
      {accounts !== null && <AccountsSection accounts={accounts} />}
      {accounts?.length !== 0 && <YourDataSection />}
      {user !== undefined && <DeleteSection user={user} />}
    </>
  )
}
