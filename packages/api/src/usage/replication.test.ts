import { withClient } from '@keymeter/local'
import { expect, it } from 'vitest'
import { charge, provisioned } from '../../test/caller.ts'
import { replaceClock } from '../../test/clock.ts'
import { reconciledDatabase } from '../../test/reconciled-database.ts'
import { keepUsageByDaysFrom } from '../../test/usage-days.ts'

const database = reconciledDatabase()

it('a charge can update the daily roll-up while a publication replicates all tables', async () => {
  const { owner, urls } = database
  await withClient(urls.superuser, async (client) => await client.query('create publication everything for all tables'))
  await keepUsageByDaysFrom(database, 1)
  const clock = await replaceClock(database)
  await clock.set(new Date('2027-02-01T10:00:00Z'))
  const { defaultKey, userId } = await provisioned(database)
  const chargeAt = async (time: string) => {
    await clock.set(new Date(`2027-02-01T${time}:00Z`))
    return await charge(database, defaultKey.secret, 1)
  }
  // Each charge adds the ended buckets to the daily roll-up. The charge at 10:20 inserts the row of the day, and the charge
  // at 10:40 updates it.
  for (const time of ['10:00', '10:20', '10:40']) expect(await chargeAt(time)).toMatchObject({ verdict: 'charged' })
  const { rows } = await owner.query(
    'select quarters from usage_by_day where user_id = $1 and api_key_id is null and operation is null',
    [userId],
  )
  expect(rows).toEqual([{ quarters: [40, 41] }])

  await owner.query('alter table usage_by_day replica identity default')
  await expect(chargeAt('11:00')).rejects.toThrow('does not have a replica identity')
})
