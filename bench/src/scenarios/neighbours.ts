import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { accessToken, JWT_SECRET, SERVICE_KEY } from '@keymeter/api/testing'
import { freePort } from '@keymeter/local'
import type { Key } from '../accounts.ts'
import type { Cluster, Database } from '../cluster.ts'
import { alternate, closedLoop, type Effort, type Finding, type Rival, ratio } from '../measure.ts'

const SERVER = fileURLToPath(import.meta.resolve('@keymeter/server/main'))
const BURDEN = fileURLToPath(new URL('../burden.ts', import.meta.url))
const CALLERS = 4
const READY_PAUSE_MS = 50
/** The time after which a burden has reached its full load. */
const WARM_UP_MS = 500
const TARGET_READS = 2
const TARGET_CHARGES = 1.5

/** What one account does while the calls of another account are measured. */
type Burden = { callers: number; path: string; body: string | null; isBackend: boolean }[]

/** Measures how much one busy account slows down the calls of another account, over HTTP, with the production server. */
export async function neighbours(cluster: Cluster, effort: Effort): Promise<Finding[]> {
  const [busy, bystander] = cluster.accounts.keys
  if (busy === undefined || bystander === undefined) throw new Error('there are fewer than two accounts')
  return await cluster.withDatabases(['ours'], async ({ ours }) => {
    const server = await startServer(ours)
    try {
      const { rows } = await ours.owner.query('select id from api_keys where user_id = $1', [busy.userId])
      const keyId: string = rows[0].id
      const reading: Burden = [{ callers: 100, path: 'billing.get', body: null, isBackend: false }]
      const charging = [
        {
          callers: 4,
          path: 'metering.charge',
          body: JSON.stringify({ key: busy.secret, credits: 1, idempotencyKey: 'busy-{n}', operation: 'bench' }),
          isBackend: true,
        },
      ]
      const editing = [
        {
          callers: 40,
          path: 'keys.update',
          body: JSON.stringify({ id: keyId, name: 'edit {n}'.slice(0, 64) }),
          isBackend: false,
        },
      ]
      const beside = (name: string, burden: Burden, measure: (seconds: number) => Promise<number>): Rival => ({
        name,
        run: async (seconds) => await withBurden(server.url, busy, burden, async () => await measure(seconds)),
      })
      const token = await accessToken(bystander.userId)
      const read = async (seconds: number) =>
        (await closedLoop(1, seconds, async () => await call(server.url, 'billing.get', token))).p95Ms
      let charges = 0
      const charge = async (seconds: number) => {
        const { p50Ms } = await closedLoop(CALLERS, seconds, async () => {
          const body = { key: bystander.secret, credits: 1, idempotencyKey: `bystander-${charges++}`, operation: 'bench' }
          await call(server.url, 'metering.charge', SERVICE_KEY, body)
        })
        return p50Ms
      }
      const reads = await alternate(
        [beside('alone', [], read), beside('beside 100 parallel calls', reading, read)],
        'ms',
        effort,
        cluster.checkpoint,
      )
      const chargesBeside = await alternate(
        [
          beside('alone', [], charge),
          beside('beside 100 parallel calls', reading, charge),
          beside('beside 4 charge loops', charging, charge),
          beside('beside 40 edits and 4 charge loops', [...editing, ...charging], charge),
        ],
        'ms',
        effort,
        cluster.checkpoint,
      )
      return [
        {
          title: 'A read of one account, beside a busy account',
          what: 'One account reads its balance, over HTTP. The figures are the 95th percentiles of its reads, while another account sends 100 parallel calls, or nothing.',
          series: reads,
          ratios: [ratio('beside / alone', reads[1], reads[0], { at: 'most', value: TARGET_READS })],
          notes: [],
        },
        {
          title: 'A charge of one account, beside a busy account',
          what: `${CALLERS} callers charge one account, over HTTP. The figures are the medians of these charges, while another account sends 100 parallel calls, is charged in 4 loops, or is charged in 4 loops and changes its key in 40 loops.`,
          series: chargesBeside,
          ratios: [
            ratio('beside reads / alone', chargesBeside[1], chargesBeside[0], { at: 'most', value: TARGET_CHARGES }),
            ratio('beside charges / alone', chargesBeside[2], chargesBeside[0]),
            ratio('beside edits and charges / alone', chargesBeside[3], chargesBeside[0], {
              at: 'most',
              value: TARGET_CHARGES,
            }),
          ],
          notes: [
            'The server, Postgres, the measured callers and the busy account share the cores of one machine. So a part of each ratio is their competition for the processor.',
          ],
        },
      ]
    } finally {
      server.stop()
    }
  })
}

async function startServer({ urls }: Database): Promise<{ url: string; stop(): void }> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = spawn(process.execPath, [SERVER], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      HOST: '127.0.0.1',
      PORT: String(port),
      LOG_LEVEL: 'error',
      DATABASE_URL: urls.api,
      // The server verifies access tokens with the secret, so it does not call this address.
      SUPABASE_URL: 'http://127.0.0.1:1',
      SUPABASE_PUBLISHABLE_KEY: 'none',
      SUPABASE_JWT_SECRET: JWT_SECRET,
      KEYMETER_SERVICE_KEY: SERVICE_KEY,
    },
  })
  const stop = stopping(child)
  const isReady = async () => (await fetch(`${url}/readyz`).catch(() => null))?.status === 200
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error('The server could not start. Run `pnpm build` first.')
    await sleep(READY_PAUSE_MS)
  }
  return { url, stop }
}

async function withBurden<T>(url: string, { userId }: Key, burden: Burden, measure: () => Promise<T>): Promise<T> {
  if (burden.length === 0) return await measure()
  const args = [BURDEN, url, await accessToken(userId), SERVICE_KEY, JSON.stringify(burden)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const stop = stopping(child)
  try {
    await sleep(WARM_UP_MS)
    return await measure()
  } finally {
    stop()
    await once(child, 'exit')
  }
}

/** Returns a function that ends the child. The child also ends with this process. */
function stopping(child: ChildProcess): () => void {
  const stop = () => void child.kill('SIGKILL')
  process.once('exit', stop)
  return () => {
    process.removeListener('exit', stop)
    stop()
  }
}

async function call(url: string, path: string, authorization: string, body?: object): Promise<void> {
  const response = await fetch(`${url}/trpc/${path}`, {
    headers: { authorization: `Bearer ${authorization}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${path} was refused: ${await response.text()}`)
  await response.arrayBuffer()
}
