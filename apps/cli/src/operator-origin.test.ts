import { testAuth, testDatabase, testServer } from '@keymeter/local/testing'
import { expect, it } from 'vitest'
import { runCommand } from '../test/run-command.ts'

const database = testDatabase()
const auth = testAuth(database)
const server = testServer(database, auth)
const OPERATOR_AGENT = 'the-operators-tool/7'
const CUSTOMER_AGENT = 'the-customers-browser/8'

async function call(path: string, { token, agent, input }: { token?: string; agent: string; input?: object }): Promise<string> {
  const response = await fetch(`${server.url}${path}`, {
    headers: {
      'content-type': 'application/json',
      'user-agent': agent,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    ...(input !== undefined && { method: 'POST', body: JSON.stringify(input) }),
  })
  const body = await response.text()
  expect([path, response.status, body]).toEqual([path, 200, expect.any(String)])
  return body
}

async function keymeter(...args: string[]): Promise<string> {
  const { code, stdout } = await runCommand(args, { settings: { MIGRATION_DATABASE_URL: database.urls.owner } })
  expect([args[0], code]).toEqual([args[0], 0])
  return stdout
}

it('no answer to a customer contains where the operator’s calls came from, over HTTP or from the CLI, and the audit chain still covers it', async () => {
  const signUp = { email: 'customer@example.com', password: 'a long password' }
  const { user, session, defaultKey } = JSON.parse(await call('/trpc/auth.signup', { agent: CUSTOMER_AGENT, input: signUp }))
    .result.data
  const asCustomer = async (path: string, input?: object) =>
    await call(path, { agent: CUSTOMER_AGENT, token: session.accessToken, ...(input !== undefined && { input }) })
  const byOperator = async (procedure: string, input: object) =>
    JSON.parse(await call(`/trpc/${procedure}`, { agent: OPERATOR_AGENT, token: auth.serviceKey, input })).result.data
  await asCustomer('/trpc/keys.confirmSecretSaved', { id: defaultKey.id })
  const charge = { key: defaultKey.secret, credits: 600, idempotencyKey: 'charge' }
  expect(await byOperator('metering.charge', charge)).toMatchObject({ verdict: 'charged' })
  const requestIds = [
    await byOperator('operator.grantTopUp', { accountId: user.id, credits: 5, idempotencyKey: 'top-up', note: 'Invoice 7' }),
    await byOperator('operator.suspend', { accountId: user.id }),
    await byOperator('operator.resume', { accountId: user.id }),
  ].map(({ requestId }) => requestId)
  await keymeter('top-up', user.id, '7')
  await keymeter('plan', 'pro', '--credits', '5000')
  await keymeter('change-plan', user.id, 'pro')

  const { data } = JSON.parse(await asCustomer('/trpc/audit.list')).result.data
  const origins = data.map(({ actor, action, requestId, clientAddress, userAgent }: Record<string, unknown>) => [
    actor,
    action,
    requestId,
    clientAddress,
    userAgent,
  ])
  const hidden = [null, null, null]
  const shown = [expect.any(String), '127.0.0.1', CUSTOMER_AGENT]
  expect(origins).toEqual([
    ['operator', 'account.plan_changed', ...hidden],
    ['operator', 'account.topped_up', ...hidden],
    ['operator', 'account.resumed', ...hidden],
    ['operator', 'account.suspended', ...hidden],
    ['operator', 'account.topped_up', ...hidden],
    ['member', 'key.secret_saved', ...shown],
    ['member', 'key.created', ...shown],
    ['system', 'account.free_credits_granted', ...hidden],
  ])

  const { rows: stored } = await database.owner.query<{ request_id: string; user_agent: string }>(
    "select request_id, user_agent from audit_log where actor = 'operator' order by sequence",
  )
  expect(stored.map(({ user_agent }) => user_agent)).toEqual([...Array(3).fill(OPERATOR_AGENT), ...Array(2).fill('keymeter')])
  expect(stored.slice(0, 3).map(({ request_id }) => request_id)).toEqual(requestIds)
  const secrets = [OPERATOR_AGENT, 'keymeter', ...stored.map(({ request_id }) => request_id)]
  const answers = [
    ...['audit.list', 'billing.get', 'billing.ledger', 'alerts.list', 'keys.list', 'keys.usage', 'usage.events'].map(
      (procedure) => `/trpc/${procedure}`,
    ),
    '/export/usage.csv',
  ]
  for (const path of answers) {
    const body = await asCustomer(path)
    for (const secret of secrets) expect(body, path).not.toContain(secret)
  }
  expect(await keymeter('verify-audit')).toContain('every chain is complete')
})
