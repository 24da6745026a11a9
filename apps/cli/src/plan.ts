import { listPlans, setPlan } from '@keymeter/api/server'
import { GivenCredits, Plan } from '@keymeter/contract'
import type { Db } from '@keymeter/db'

export async function setPlanCommand(
  db: Db,
  name: string,
  { credits, json }: { credits: number; json?: boolean },
): Promise<boolean> {
  const plan = { plan: Plan.parse(name), creditsPerCycle: GivenCredits.parse(credits) }
  await setPlan(db, plan)
  console.log(json ? JSON.stringify(plan) : `The plan ${plan.plan} grants ${plan.creditsPerCycle} credits per cycle.`)
  return true
}

export async function listPlansCommand(db: Db, { json }: { json?: boolean }): Promise<boolean> {
  const plans = await listPlans(db)
  if (json) console.log(JSON.stringify({ plans }))
  else for (const { plan, creditsPerCycle } of plans) console.log(`${plan}: ${creditsPerCycle} credits per cycle`)
  return true
}
