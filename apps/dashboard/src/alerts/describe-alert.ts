import type { Alert } from '@keymeter/contract'
import { countCredits } from '../ui/format.ts'

/** Returns e.g. `80% of the plan free (1,000 credits)` or `100 credits left`. */
export function describeAlert({ kind, threshold, plan, creditsPerCycle, creditsLeft }: Alert): string {
  switch (kind) {
    case 'percent':
      return `${threshold}% of the plan ${plan} (${countCredits(creditsPerCycle)})`
    case 'credits_left':
      // The account reached 0 because a charge was refused.
      if (creditsLeft > threshold) return `A charge was refused: only ${countCredits(creditsLeft)} left`
      return `${countCredits(threshold)} left`
  }
}
