import { listPlans, setPlan } from '@keymeter/api/server'
import { GivenCredits, Plan } from '@keymeter/contract'
import type { Db } from '@keymeter/db'
import type { CommandResult } from './command-result.ts'
import { countCredits } from './count-credits.ts'

export async function definePlan(db: Db, name: string, credits: number): Promise<CommandResult> {
  const plan = { plan: Plan.parse(name), creditsPerCycle: GivenCredits.parse(credits) }
  await setPlan(db, plan)
  return { json: plan, text: `The plan ${plan.plan} grants ${countCredits(plan.creditsPerCycle)} per cycle.`, isOk: true }
}

export async function showPlans(db: Db): Promise<CommandResult> {
  const plans = await listPlans(db)
  const lines = plans.map(({ plan, creditsPerCycle }) => `${plan}: ${countCredits(creditsPerCycle)} per cycle`)
  return { json: { plans }, text: lines.join('\n'), isOk: true }
}
