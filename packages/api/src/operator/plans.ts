import type { Db } from '@keymeter/db'

export interface PlanCredits {
  plan: string
  creditsPerCycle: number
}

/**
 * Creates a plan, or changes its credits. The change does not affect accounts that already have the plan, because an account
 * copies the credits when it changes to the plan. A new account copies the credits of the plan `free`.
 */
export async function setPlan(db: Db, { plan, creditsPerCycle }: PlanCredits): Promise<void> {
  await db
    .insertInto('plans')
    .values({ plan, credits_per_cycle: creditsPerCycle })
    .onConflict((conflict) => conflict.column('plan').doUpdateSet({ credits_per_cycle: creditsPerCycle }))
    .execute()
}

export async function listPlans(db: Db): Promise<PlanCredits[]> {
  return await db
    .selectFrom('plans')
    .select(['plan', 'credits_per_cycle as creditsPerCycle'])
    .orderBy('creditsPerCycle')
    .execute()
}
