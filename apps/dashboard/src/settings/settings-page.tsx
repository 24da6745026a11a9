import { useQuery } from '@tanstack/react-query'
import { currentUser } from '../call/credentials.ts'
import { useSession } from '../call/session.ts'
import { AddressSection } from './address-section.tsx'
import { DeleteSection } from './delete-section.tsx'
import { DisplaySection } from './display-section.tsx'
import { PasswordSection } from './password-section.tsx'
import { SecondFactorSection } from './second-factor-section.tsx'
import { SessionsSection } from './sessions-section.tsx'
import { YourDataSection } from './your-data-section.tsx'

export function SettingsPage() {
  const session = useSession()
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
      <YourDataSection />
      {user !== undefined && <DeleteSection user={user} />}
    </>
  )
}
