import type { AccountToDelete } from '@keymeter/contract'
import { countCredits } from '../ui/format.ts'

/** Lists what the deletion of an account ends. */
export function DeletionConsequences({ account }: { account: AccountToDelete }) {
  if (account.consequences === null) return <p>This account can be deleted only after a sign-in with a second factor.</p>
  const { liveKeys, creditsRemaining, creditsHeld, otherMembers } = account.consequences
  return (
    <ul className="grid list-disc gap-1 pl-5">
      <li>
        {liveKeys === 0 ? 'No API key is in use.' : `${count(liveKeys, 'API key stops', 'API keys stop')} working immediately.`}
      </li>
      <li>
        {creditsRemaining === 0 ? 'No credits are left.' : `${countCredits(creditsRemaining)} can no longer be spent.`}
        {creditsHeld > 0 && ` ${countCredits(creditsHeld)} are held and can still be charged.`}
      </li>
      <li>
        {otherMembers === 0
          ? 'Nobody else is a member.'
          : `${count(otherMembers, 'other member loses', 'other members lose')} access.`}
      </li>
    </ul>
  )
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`
}
