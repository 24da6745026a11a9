import { describe, expect, it } from 'vitest'
import { testDashboard } from './person.ts'

const { database, server, signUp } = testDashboard()

describe('activity page', () => {
  it('shows the reason of a key that the operator revoked', async () => {
    const { page, accountId, complaints } = await signUp()
    await database.owner.query(
      `select keymeter.revoke_key(user_id, id, 'Found in a public <b>repository</b>', row('x', null, null)) from api_keys where user_id = $1`,
      [accountId],
    )
    await page.goto(`${server.url}/activity`)
    await page.getByText('Revoked: Found in a public <b>repository</b>').waitFor()
    expect(complaints).toEqual([])
  })
})
