/**
 * A process with its own charge engine, router and connection pools. A test starts several of these processes, like several
 * servers of the product.
 */
import type { Charge, ChargeVerdict } from '@keymeter/contract'
import { createDb } from '@keymeter/db'
import { pino } from 'pino'
import { Metering } from '../src/metering/metering.ts'
import { signedIn } from './caller.ts'

export type Call =
  | { type: 'charge'; request: Charge }
  | { type: 'chargeMany'; requests: Charge[] }
  | { type: 'rotate' | 'disable' | 'enable' | 'revoke'; userId: string; id: string }
  | { type: 'provision'; userId: string }
/** The result of a call. `error` is the SQLSTATE, the reason or the message of the error that the call threw. */
export type Result = { verdicts: ChargeVerdict[] } | { error: string } | { done: true }
export interface Work {
  calls: Call[]
  /** The number of calls that run concurrently. */
  inFlight: number
}
export interface Worked {
  results: Result[]
  /** The warnings that the engine logged, e.g. that it sent a batch again. */
  warnings: string[]
}

const POOL_CONNECTIONS = 5
/**
 * The deadline of a charge. It is much longer than the engine's default, because these tests do not test the deadline and
 * must pass on a busy machine.
 */
const ANSWERED_WITHIN_MS = 120_000
const [url = ''] = process.argv.slice(2)
let warnings: string[] = []
const log = pino({ level: 'warn' }, { write: (line: string) => void warnings.push(line) })
const connections = { connectionsMax: POOL_CONNECTIONS }
const db = createDb(url, () => {}, connections)
const chargesDb = createDb(url, () => {}, connections)
const metering = new Metering({ db: chargesDb, keyBrand: 'km', log, answeredWithinMs: ANSWERED_WITHIN_MS })

process.on('message', async ({ calls, inFlight }: Work) => {
  const results: Result[] = []
  const waiting = [...calls.entries()]
  const client = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [i, call] = next
      results[i] = await perform(call).catch((error: unknown) => ({ error: describe(error) }))
    }
  }
  await Promise.all(Array.from({ length: inFlight }, client))
  process.send?.({ results, warnings } satisfies Worked)
  warnings = []
})
process.on('disconnect', () => process.exit())

async function perform(call: Call): Promise<Result> {
  if (call.type === 'charge') return { verdicts: [await metering.charge(call.request)] }
  if (call.type === 'chargeMany') return { verdicts: await metering.chargeMany(call.requests) }
  const { auth, keys } = await signedIn({ db }, call.userId)
  if (call.type === 'provision') await auth.provision()
  else if (call.type === 'rotate') await keys.rotate({ id: call.id })
  else await keys[call.type]({ id: call.id })
  return { done: true }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error && 'code' in error.cause) return String(error.cause.code)
  return 'reason' in error ? String(error.reason) : error.message
}
