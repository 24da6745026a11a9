import type { Db } from '@keymeter/db'

export interface PlanCredits {
  plan: string
  creditsPerCycle: number
}

/**
 * Creates a plan, or changes its credits. Accounts on the plan keep their credits: an account copies them when it changes to
 * the plan, and a new account copies those of `free`.
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
