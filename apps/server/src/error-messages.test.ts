import { appRouter } from '@keymeter/api/server'
import { BATCH_CALLS_MAX } from '@keymeter/contract'
import { testAuth, testDatabase } from '@keymeter/local/testing'
import type { AnyTRPCProcedure } from '@trpc/server'
import { beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { accessToken, provision } from '../test/metering.ts'
import { parseResponse, rawConnection } from '../test/raw-connection.ts'
import { testApp } from '../test/test-app.ts'
import { BODY_BYTES_MAX } from './http.ts'

const database = testDatabase()
const auth = testAuth(database)
const app = testApp(database, auth)
const procedures = Object.entries(appRouter._def.procedures as unknown as Record<string, AnyTRPCProcedure>)

/** The sentences that zod would write for the faults of this test. */
const sentencesOfZod = new Set<string>()
/** The messages of all error responses. */
const messages = new Set<string>()
let userId: string

beforeAll(async () => {
  userId = await database.createUser()
  await provision(app.url, auth.jwtSecret, userId)
  const { customError, localeError } = z.config()
  z.config({
    customError: (issue) => {
      const sentence = localeError?.(issue)
      if (typeof sentence === 'string') sentencesOfZod.add(sentence)
      return customError?.(issue)
    },
  })
})

/** Sends a request. If it is refused, checks the shape of the answer and collects its messages. */
async function send(path: string, init: RequestInit = {}): Promise<number> {
  const response = await fetch(`${app.url}${path}`, init)
  if (response.ok) await response.body?.cancel()
  else collect(`${init.method} ${path} ${String(init.body).slice(0, 200)}`, await response.text())
  return response.status
}

function collect(request: string, body: string): void {
  expect([request, body]).toEqual([request, expect.stringMatching(/^[[{]/)])
  const answer = JSON.parse(body)
  for (const { error } of Array.isArray(answer) ? answer : [answer]) {
    if (error === undefined) continue
    expect([request, error.data.reason]).toEqual([request, expect.any(String)])
    messages.add(error.message)
    for (const { message } of error.data.issues) messages.add(message)
  }
}

const WRONG: unknown[] = [
  null,
  true,
  0,
  1.5,
  -1,
  2 ** 53,
  1e300,
  '',
  ' ',
  'x',
  'x'.repeat(2_000),
  '\0',
  [],
  [null],
  Array(50).fill(0),
  {},
]

/** Returns wrong inputs: as a whole, with one wrong field, with a missing field, and with unknown fields. */
function* wrongInputs(shape: Record<string, unknown>) {
  yield* [undefined, ...WRONG, { unknown: 1, 'another unknown': 2 }]
  const plausible = Object.fromEntries(Object.keys(shape).map((field) => [field, 'x']))
  yield plausible
  for (const field of Object.keys(shape)) {
    for (const value of WRONG) yield { [field]: value }
    yield { ...plausible, [field]: undefined }
  }
}

interface InputSchema {
  def: { innerType?: InputSchema }
  shape?: Record<string, unknown>
}

describe('the messages of errors', () => {
  it.each(procedures)('%s answers a wrong input with our own sentences', async (path, procedure) => {
    const { inputs } = procedure._def as unknown as { inputs: InputSchema[] }
    const isForBackend = /^(metering|operator)\./.test(path)
    const authorization = `Bearer ${isForBackend ? auth.serviceKey : accessToken(auth.jwtSecret, userId)}`
    for (const schema of inputs)
      for (const input of wrongInputs((schema.def.innerType ?? schema).shape ?? {})) {
        const text = JSON.stringify(input) ?? ''
        const status =
          procedure._def.type === 'mutation'
            ? await send(`/trpc/${path}`, {
                method: 'POST',
                headers: { authorization, 'content-type': 'application/json' },
                body: text,
              })
            : await send(`/trpc/${path}?input=${encodeURIComponent(text)}`, { headers: { authorization } })
        expect([path, text, status < 500]).toEqual([path, text, true])
      }
  })

  it('a malformed request is answered with our own sentences', async () => {
    const json = { 'content-type': 'application/json' }
    const headers = { authorization: `Bearer ${accessToken(auth.jwtSecret, userId)}` }
    const batch = (calls: number) => `/trpc/${Array(calls).fill('keys.list').join(',')}?batch=1`
    for (const path of [
      '/trpc',
      '/trpc/',
      '/trpc/nope',
      '/trpc/%',
      '/trpc/%E0%A4%A',
      '/trpc/keys.list?input={',
      '/trpc/keys.list?batch=1&input=[',
      '/trpc/keys.list?batch=1&input=1',
      '/trpc/keys.list?connectionParams={',
      '/trpc/keys.list,keys.create?batch=1',
      '/trpc/usage.watch?batch=1',
      '/trpc/keys.create',
      '/trpc/__proto__',
      batch(BATCH_CALLS_MAX + 1),
      '/export/usage.csv?from=x',
      '/export/usage.csv?unknown=1&action=x&action=y',
      '/export/nope',
      '/panel',
      '/panel/x',
    ])
      expect([path, (await send(path, { headers })) >= 400]).toEqual([path, true])
    for (const accept of ['application/jsonl', 'application/jsonl, */*'])
      await send(batch(2), { headers: { ...headers, accept } })
    for (const body of ['{', '', 'null', '"x"', '\0', '['.repeat(1_000), 'x'.repeat(BODY_BYTES_MAX + 1)])
      for (const path of ['auth.signup', 'keys.create', 'keys.create,keys.create?batch=1', 'keys.list'])
        await send(`/trpc/${path}`, { method: 'POST', headers: { ...headers, ...json }, body })
    for (const type of ['text/plain', 'multipart/form-data', 'application/octet-stream', 'application/x-www-form-urlencoded'])
      await send('/trpc/keys.create', { method: 'POST', headers: { ...headers, 'content-type': type }, body: 'x' })
    for (const method of ['OPTIONS', 'PUT', 'DELETE'])
      for (const path of ['/', '/trpc/keys.list', '/livez']) await send(path, { method })
    for (const bytes of [
      'nonsense\r\n\r\n',
      'FOO / HTTP/1.1\r\nhost: x\r\n\r\n',
      'GET / HTTP/1.1\r\nconnection: close\r\n\r\n',
      'GET / HTTP/1.1\r\nhost: x y\r\nconnection: close\r\n\r\n',
      `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
      'GET / HTTP/1.1\r\nhost: x\r\nbad\r\n\r\n',
      'POST /trpc/keys.create HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nz\r\n',
    ])
      collect(bytes, parseResponse(await rawConnection(app.port, bytes).closed).body)
  })

  it('no message is a sentence of a library, and each message is a sentence', () => {
    // The tests above cause many kinds of faults.
    expect(sentencesOfZod.size).toBeGreaterThan(30)
    expect(messages.size).toBeGreaterThan(30)
    expect([...messages].filter((message) => sentencesOfZod.has(message))).toEqual([])
    // An issue without a field begins with a capital letter. The sentences of tRPC, Hono, Node and JSON.parse have no full stop.
    expect([...messages].filter((message) => !/^[A-Za-z].*\.$/.test(message))).toEqual([])
    const ofLibraries =
      /invalid input|expected|received|unrecognized|too (big|small):|no procedure|unsupported \w+-request|unexpected|json at position/i
    expect([...messages].filter((message) => ofLibraries.test(message))).toEqual([])
  })
})
