import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '@keymeter/local'
import { serverEnv, testAuth, testDatabase } from '@keymeter/local/testing'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { accessToken, askUntilAnswered, type Customer, provision, startClients } from '../test/metering.ts'
import { startReadyMain } from '../test/start-main.ts'
import { testApp } from '../test/test-app.ts'

/** With `KEYMETER_SOAK=1`, the test exports more events. */
const EVENTS = inject('isSoak') ? 1_000_000 : 100_000
const MEMORY_GROWTH_MIB_MAX = 100

const database = testDatabase()
const auth = testAuth(database)
/** A server that waits only shortly for a client that does not read. */
const impatient = testApp(database, auth, { patienceMs: 500 })
let url: string
let main: Awaited<ReturnType<typeof startReadyMain>>
beforeAll(async () => {
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  main = await startReadyMain({ ...serverEnv(database, auth, port), LOG_LEVEL: 'debug' }, url)
})
afterAll(() => void main?.child.kill('SIGKILL'))

const HEADER =
  'sequence,createdAt,keyId,keyName,keyType,action,operation,verdict,creditsRequested,creditsCharged,uncollected,remaining,creditsHeld,idempotencyKey,refersTo,expiresAt'

async function customer(): Promise<Customer> {
  return await provision(url, auth.jwtSecret, await database.createUser())
}

async function get({ userId }: { userId: string }, query = ''): Promise<Response> {
  return await fetch(`${url}/export/usage.csv${query}`, {
    headers: { authorization: `Bearer ${accessToken(auth.jwtSecret, userId)}` },
  })
}

/** Parses CSV by RFC 4180, and throws if the text is not valid CSV. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = []
  const row: string[] = []
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y
  while (cell.lastIndex < text.length) {
    const at = cell.lastIndex
    const [, quoted, plain = '', end] = cell.exec(text) ?? []
    if (end === undefined) throw new Error(`no cell at ${at}: ${text.slice(at, at + 60)}`)
    row.push(quoted?.replaceAll('""', '"') ?? plain)
    if (end === '\r\n') rows.push(row.splice(0))
  }
  return rows
}

/** Inserts events without roll-ups, because an export does not read roll-ups. */
async function write({ userId }: Customer, count: number): Promise<void> {
  await database.owner.query(
    `insert into api_key_usage (user_id, sequence, created_at, api_key_id, idempotency_key, operation, verdict,
                                credits_requested, credits_charged, remaining, cycle_start, cycle_end)
     select $1::uuid, n, now() - interval '1 day', (select id from api_keys where user_id = $1), 'request-' || n, 'load', 'charged', 1, 1, 1, now(), now()
       from generate_series(1, $2::int) as n`,
    [userId, count],
  )
  await database.owner.query('update billing_accounts set last_event_sequence = $2, last_event_at = now() where user_id = $1', [
    userId,
    count,
  ])
}

describe('GET /export/usage.csv', () => {
  it('the usage export is a CSV file with all events of the account, newest first', async () => {
    const one = await customer()
    const clients = startClients({ url, serviceKey: auth.serviceKey }, 1, ids(one))
    await clients.moreAnswered(5)
    await clients.stop()
    const backend = { url, serviceKey: auth.serviceKey }
    const held = await askUntilAnswered(backend, { action: 'hold', customer: one, credits: 10, idempotencyKey: 'held' })
    if (held.verdict.verdict !== 'held') throw new Error(`the hold is ${held.verdict.verdict}`)
    const about = { eventId: held.verdict.holdId, credits: 10, idempotencyKey: 'held' }
    await askUntilAnswered(backend, { action: 'settle', customer: one, credits: 5000, idempotencyKey: 'settled', about })
    const response = await get(one)
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/csv; charset=utf-8; header=present',
      'content-disposition': expect.stringMatching(/^attachment; filename="keymeter-usage-\d{4}-\d\d-\d\d\.csv"$/),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-request-id': expect.any(String),
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    // The file begins with one byte order mark. Without it, Excel does not read the file as UTF-8.
    expect(bytes.toString('utf8').split('\uFEFF')).toEqual(['', expect.any(String)])
    const text = bytes.subarray(3).toString('utf8')
    expect(text.startsWith(`${HEADER}\r\n`)).toBe(true)
    const [, ...rows] = parseCsv(text)
    expect(rows.map(([sequence]) => Number(sequence))).toEqual(rows.map((_, i) => rows.length - i))
    const { rows: events } = await database.owner.query(
      'select * from api_key_usage where user_id = $1 order by sequence desc',
      [one.userId],
    )
    expect(rows).toEqual(
      events.map((event) => [
        event.sequence,
        event.created_at.toISOString(),
        event.api_key_id,
        'default',
        'dev',
        event.action,
        'default',
        event.verdict,
        event.credits_requested,
        event.credits_charged,
        String(event.verdict === 'settled' ? event.credits_requested - event.credits_charged : 0),
        event.remaining,
        event.credits_held ?? '',
        event.idempotency_key,
        event.refers_to ?? '',
        event.expires_at?.toISOString() ?? '',
      ]),
    )
    // The account had 1,000 credits, so it could not pay for all of the settle.
    expect(rows[0]?.slice(5, 12)).toEqual(['settle', 'default', 'settled', '5000', expect.any(String), expect.any(String), '0'])
    expect(Number(rows[0]?.[10])).toBeGreaterThanOrEqual(4000)
  })

  it('the usage export accepts the filters of `usage.events`, and refuses any other parameter', async () => {
    const one = await customer()
    await write(one, 20)
    await database.owner.query(
      "update api_key_usage set verdict = case sequence when 3 then 'revoked' else 'expired' end where user_id = $1 and sequence in (3, 5, 7)",
      [one.userId],
    )
    const sequences = async (query: string) => parseCsv(await (await get(one, query)).text()).map(([sequence]) => sequence)
    expect(await sequences('?verdicts=revoked&verdicts=expired')).toEqual(['sequence', '7', '5', '3'])
    expect(await sequences('?idempotencyKey=request-4')).toEqual(['sequence', '4'])
    expect(await sequences('?operation=other')).toEqual(['sequence'])
    for (const wrong of [
      '?verdict=revoked',
      '?operation=A',
      '?keyId=1',
      '?operation=a&operation=b',
      '?access_token=x',
      '?cursor=1',
    ]) {
      const refused = await get(one, wrong)
      expect([wrong, refused.status]).toEqual([wrong, 400])
      expect(await refused.json()).toMatchObject({
        error: { data: { reason: 'bad_request', requestId: refused.headers.get('x-request-id') } },
      })
    }
  })

  it('the usage export requires an access token in the header, and contains only the events of the account of this token', async () => {
    const one = await customer()
    await write(one, 10)
    const token = accessToken(auth.jwtSecret, one.userId)
    for (const [query, authorization] of [
      ['', undefined],
      [`?access_token=${token}`, undefined],
      ['', `Bearer ${auth.serviceKey}`],
      ['', `Bearer ${accessToken('another secret, longer than 32 characters', one.userId)}`],
    ] as const) {
      const refused = await fetch(`${url}/export/usage.csv${query}`, { headers: authorization ? { authorization } : {} })
      expect(refused.status).toBe(401)
      expect(await refused.json()).toMatchObject({ error: { data: { reason: 'not_signed_in' } } })
    }
    expect(parseCsv(await (await get(await customer())).text())).toHaveLength(1)
    expect((await fetch(`${url}/export/usage.json`)).status).toBe(404)
    expect(main.output()).not.toContain(token)
  })

  it('the usage export puts an apostrophe before text that a spreadsheet would run as a formula, and leaves numbers unchanged', async () => {
    const one = await customer()
    const SAFE: Record<string, string> = {
      '=1+1': "'=1+1",
      '+1': "'+1",
      '-1': "'-1",
      '@SUM(A1)': "'@SUM(A1)",
      '\t=1': "'\t'=1",
      '\r=1': "'\r'=1",
      '="a,b"': `'="a,b"`,
      ' =1': "' =1",
      ';=1': "';'=1",
      '; \t"=1': `'; \t"'=1`,
      'a;=1;-2': "a;'=1;'-2",
      'two\n=1': "two\n'=1",
    }
    const names = [...Object.keys(SAFE), 'plain, "quoted"', 'two\nlines', 'Ünïcode 木', "'already", 'Production - EU; and more']
    await write(one, names.length)
    for (const [i, name] of names.entries()) {
      await database.owner.query(
        `with key as (insert into api_keys (user_id, name) values ($1, $2) returning id)
         update api_key_usage set api_key_id = (select id from key), operation = $2, credits_charged = -5, idempotency_key = $2
          where user_id = $1 and sequence = $3`,
        [one.userId, name, names.length - i],
      )
    }
    const [, ...rows] = parseCsv(await (await get(one)).text())
    for (const [i, name] of names.entries()) {
      const safe = SAFE[name] ?? name
      expect([rows[i]?.[3], rows[i]?.[6], rows[i]?.[13], rows[i]?.[9]]).toEqual([safe, safe, safe, '-5'])
      expect(safe).toMatch(/^[^=+\-@\t\r]/)
    }
  })

  it('the usage export contains exactly the events that existed at its start, even while more charges are made', async () => {
    const one = await customer()
    await database.owner.query('update billing_accounts set credits_per_cycle = 1000000 where user_id = $1', [one.userId])
    // The events fill more than one page, so charges are made while the export reads.
    await write(one, 1500)
    const clients = startClients({ url, serviceKey: auth.serviceKey }, 8, ids(one))
    await clients.moreAnswered(50)
    for (let round = 0; round < 3; round++) {
      const last = async () =>
        Number(
          (await database.owner.query('select last_event_sequence from billing_accounts where user_id = $1', [one.userId]))
            .rows[0].last_event_sequence,
        )
      const before = await last()
      const response = await get(one)
      const after = await last()
      await clients.moreAnswered(50)
      const [, ...rows] = parseCsv(await response.text())
      expect(rows.length).toBeGreaterThanOrEqual(before)
      expect(rows.length).toBeLessThanOrEqual(after)
      expect(rows.map(([sequence]) => Number(sequence))).toEqual(rows.map((_, i) => rows.length - i))
    }
    await clients.stop()
  })

  it('the server refuses every other path under /export, and every method other than GET, with a reason', async () => {
    const refusal = async (path: string, method: string) => {
      const response = await fetch(`${url}${path}`, { method })
      const { error } = (await response.json()) as { error: { data: { reason: string } } }
      return [response.status, error.data.reason, response.headers.get('cache-control')]
    }
    expect(await refusal('/export/usage.xlsx', 'GET')).toEqual([404, 'procedure_not_found', 'no-store'])
    expect(await refusal('/export/usage.csv', 'POST')).toEqual([405, 'method_not_allowed', 'no-store'])
  })

  describe(`an export of ${EVENTS.toLocaleString('en')} events`, () => {
    let one: Customer
    beforeAll(async () => {
      one = await customer()
      await write(one, EVENTS)
    })

    it('a large usage export is complete for a slow client and for a fast client, and needs little memory', async () => {
      // The slow export comes first. During this export, the memory of the server grows to its usual size.
      const slow = await open(one)
      let pauses = 0
      let bytes = 0
      for await (const chunk of slow) {
        bytes += chunk.length
        if (pauses++ < 20) await sleep(50)
      }
      expect(slow.complete).toBe(true)
      expect(bytes).toBeGreaterThan(EVENTS * 100)

      const before = memoryMib()
      let highest = before
      const watching = setInterval(() => (highest = Math.max(highest, memoryMib())), 20)
      const response = await get(one)
      let lines = 0
      for await (const chunk of response.body ?? []) for (const byte of chunk) if (byte === 10) lines++
      clearInterval(watching)
      expect(lines).toBe(EVENTS + 1)
      expect(highest - before).toBeLessThan(MEMORY_GROWTH_MIB_MAX)
    })

    it('a usage export to a slow client reads only as many events in advance as the network buffers can hold', async () => {
      // This client reads nothing at first. A client that had begun to read would get a larger buffer from its kernel.
      const client = connect(Number(new URL(url).port), '127.0.0.1').pause()
      client.on('error', () => {})
      client.write(
        `GET /export/usage.csv HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${accessToken(auth.jwtSecret, one.userId)}\r\n\r\n`,
      )
      await serverIdle()
      let lines = 0
      let last = ''
      await withoutRights(async () => {
        client.on('data', (chunk: Buffer) => {
          for (const byte of chunk) if (byte === 10) lines++
          last = chunk.toString('latin1').slice(-5)
        })
        client.resume()
        await once(client, 'close')
      })
      // The export was cut off: it has no last chunk.
      expect(last).not.toBe('0\r\n\r\n')
      // The network sockets buffer about 5 MB of the export's 17 MB.
      expect(lines).toBeGreaterThan(1_000)
      expect(lines).toBeLessThan(EVENTS * 0.8)
    })

    it('a usage export that the client does not read ends, and frees its place', async () => {
      const accepted = once(impatient.server, 'connection') as Promise<[Socket]>
      const client = connect(impatient.port, '127.0.0.1').pause()
      client.on('error', () => {})
      client.write(
        `GET /export/usage.csv HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${accessToken(auth.jwtSecret, one.userId)}\r\n\r\n`,
      )
      const [socket] = await accepted
      await once(socket, 'close')
      await expect.poll(() => impatient.api.accountExports.size).toBe(0)
      expect(impatient.logged.filter(({ level }) => Number(level) > 30)).toEqual([])
    })

    it('a usage export stops reading the database when the client disconnects', async () => {
      const response = await open(one)
      response.pause()
      await serverIdle()
      const logged = main.output().length
      // If the server continued to read, its next query would fail and be logged.
      await withoutRights(async () => {
        response.destroy()
        await serverIdle()
      })
      expect(main.output().slice(logged)).not.toMatch(/permission denied|internal_error/)
    })

    it('an account has at most two exports at a time, and a HEAD request or a finished export occupies no place', async () => {
      const head = async () =>
        await fetch(`${url}/export/usage.csv`, {
          method: 'HEAD',
          headers: { authorization: `Bearer ${accessToken(auth.jwtSecret, one.userId)}` },
        })
      for (let n = 0; n < 3; n++) expect((await head()).status).toBe(200)
      const open1 = await open(one)
      const open2 = await open(one)
      for (const response of [open1, open2]) response.pause()
      const third = await get(one)
      expect([third.status, third.headers.get('retry-after')]).toEqual([429, '1'])
      expect(await third.json()).toMatchObject({ error: { data: { reason: 'account_busy' } } })
      const other = await customer()
      await write(other, 1)
      expect(parseCsv(await (await get(other)).text())).toHaveLength(2)

      open1.destroy()
      open2.destroy()
      await expect.poll(async () => (await head()).status).toBe(200)
    })

    it('a usage export that fails in the middle does not look complete to the client', async () => {
      const response = await open(one)
      response.pause()
      await withoutRights(async () => {
        let text = ''
        const reading = (async () => {
          for await (const chunk of response) text += chunk
        })()
        await expect(reading).rejects.toThrow()
        expect(response.complete).toBe(false)
        expect(text.split('\r\n').length).toBeLessThan(EVENTS)
        expect(text).not.toMatch(/permission denied|Error/)
      })
      expect(main.output()).toContain('permission denied')
      const next = await customer()
      await write(next, 1)
      expect(parseCsv(await (await get(next)).text())).toHaveLength(2)
    })

    it('a running usage export is aborted if events are dropped or moved, or if the account is deleted', async () => {
      const two = await customer()
      await write(two, 60_000)
      for (const lose of [
        "insert into usage_retention (user_id, last_event_sequence, last_event_at, kept_from) values ($1, 5, now() - interval '2 days', now())",
        // This function creates partitions, and moves events from the default partition to the new partitions.
        'select keymeter.make_usage_partitions(6) where $1::uuid is not null',
        'delete from billing_accounts where user_id = $1',
      ]) {
        const response = await open(two)
        response.pause()
        await database.owner.query(lose, [two.userId])
        await expect(
          (async () => {
            for await (const _ of response);
          })(),
        ).rejects.toThrow()
        expect(response.complete).toBe(false)
      }
    })

    it('a usage export that cannot start is answered with an error, like any other call', async () => {
      await withoutRights(async () => {
        const failed = await get(one)
        expect(failed.status).toBe(500)
        expect(await failed.json()).toMatchObject({ error: { data: { reason: 'internal_error' } } })
      })
    })
  })
})

/** Runs `work` while the server has no right to read usage events, so that each query of an export fails. */
async function withoutRights(work: () => Promise<void>): Promise<void> {
  await database.owner.query('revoke select on api_key_usage from keymeter_api')
  try {
    await work()
  } finally {
    await database.owner.query('grant select on api_key_usage to keymeter_api')
  }
}

/** Resolves when the server has used no CPU for a second. */
async function serverIdle(): Promise<void> {
  let last = ''
  for (let idle = 0; idle < 20; await sleep(50)) {
    // In /proc/<pid>/stat, the 12th and the 13th field after the process name contain the CPU time of the process.
    const now = readFileSync(`/proc/${main.child.pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
      .slice(11, 13)
      .join(' ')
    idle = now === last ? idle + 1 : 0
    last = now
  }
}

/** Returns a function that creates charge requests. Each charge takes one credit and has its own idempotency key. */
function ids(one: Customer) {
  let asked = 0
  return () => ({ action: 'charge' as const, customer: one, credits: 1, idempotencyKey: `export-${one.userId}-${asked++}` })
}

/** Returns the resident memory of the server. */
function memoryMib(): number {
  const [, kib] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${main.child.pid}/status`, 'utf8')) ?? []
  return Number(kib) / 1024
}

/** Requests the export with `node:http`, which reads from the socket only on demand. */
async function open({ userId }: Customer) {
  return await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
    const asked = request(`${url}/export/usage.csv`, {
      headers: { authorization: `Bearer ${accessToken(auth.jwtSecret, userId)}` },
    })
    asked.once('response', resolve).once('error', reject).end()
  })
}
