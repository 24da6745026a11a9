/**
 * Keeps a server busy with the calls of one account, until the process is killed. `neighbours.ts` runs it as a process of its
 * own, so that it does not slow down the measurement in the process that measures.
 */
const [url = '', accessToken = '', serviceKey = '', loops = ''] = process.argv.slice(2)

interface Loop {
  callers: number
  path: string
  /** Null means that the call is a query. `{n}` in it is replaced by a new number for each call. */
  body: string | null
  isBackend: boolean
}

let calls = 0

async function repeat({ path, body, isBackend }: Loop): Promise<never> {
  const headers = { authorization: `Bearer ${isBackend ? serviceKey : accessToken}`, 'content-type': 'application/json' }
  for (;;) {
    const sent = body === null ? {} : { method: 'POST', body: body.replaceAll('{n}', `${process.pid}-${calls++}`) }
    await (await fetch(`${url}/trpc/${path}`, { headers, ...sent })).arrayBuffer()
  }
}

for (const loop of JSON.parse(loops) as Loop[]) for (let n = 0; n < loop.callers; n++) void repeat(loop)
