import { GivenCredits, Plan } from '@keymeter/contract'
import type { Db } from '@keymeter/db'

/**
 * Makes a plan, or changes what it gives. Accounts that are on it keep what they have: an account takes a plan's credits
 * when it changes to it, and a new one those of `free` at sign-up.
 */
export async function setPlanCommand(
  db: Db,
  name: string,
  { credits, json }: { credits: number; json?: boolean },
): Promise<boolean> {
  const plan = { plan: Plan.parse(name), credits_per_cycle: GivenCredits.parse(credits) }
  await db
    .insertInto('plans')
    .values(plan)
    .onConflict((conflict) => conflict.column('plan').doUpdateSet({ credits_per_cycle: plan.credits_per_cycle }))
    .execute()
  console.log(
    json
      ? JSON.stringify({ plan: plan.plan, creditsPerCycle: plan.credits_per_cycle })
      : `${plan.plan} gives ${plan.credits_per_cycle} credits a cycle.`,
  )
  return true
}

export async function listPlansCommand(db: Db, { json }: { json?: boolean }): Promise<boolean> {
  const plans = await db
    .selectFrom('plans')
    .select(['plan', 'credits_per_cycle as creditsPerCycle'])
    .orderBy('creditsPerCycle')
    .execute()
  if (json) console.log(JSON.stringify({ plans }))
  else for (const { plan, creditsPerCycle } of plans) console.log(`${plan}: ${creditsPerCycle} credits a cycle`)
  return true
}
