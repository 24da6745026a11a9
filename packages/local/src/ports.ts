import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/** Above what is known to be listened on: databases, development servers. */
const FIRST_PORT = 10_000
const FIRST_OUTGOING_PORT = 32_768
const ATTEMPTS_MAX = 100

/** True when nothing listens on the port of 127.0.0.1, or of every address. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await canListen(port, '127.0.0.1')) && (await canListen(port, '0.0.0.0'))
}

/**
 * Some port that is free at this moment. Of those that no system gives to outgoing connections by itself (Linux: 32768 and
 * up): of a port of those, another process may become the owner before anybody listens, by merely connecting somewhere.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const port = randomInt(FIRST_PORT, FIRST_OUTGOING_PORT)
    if (await isPortFree(port)) return port
  }
  throw new Error(`none of ${ATTEMPTS_MAX} ports between ${FIRST_PORT} and ${FIRST_OUTGOING_PORT} is free`)
}

async function canListen(port: number, host: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false))
    server.listen(port, host, () => server.close(() => resolve(true)))
  })
}
