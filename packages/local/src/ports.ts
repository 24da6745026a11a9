import { randomInt } from 'node:crypto'
import getPort, { clearLockedPorts, portNumbers } from 'get-port'

/** The search for a free port starts at this port or above. Databases and development servers usually listen on lower ports. */
const FIRST_PORT = 10_000
/** The last port that is searched. Linux uses higher ports for outgoing connections. */
const LAST_PORT = 32_767
/** The search starts at a random port up to this port. So processes that search concurrently usually find different ports. */
const LAST_START = 30_000

/** Returns true if no program listens on the port, on any address of this machine. */
export async function isPortFree(port: number): Promise<boolean> {
  // get-port remembers the ports that it returned and reports them as taken. This call clears its memory.
  clearLockedPorts()
  return (await getPort({ port })) === port
}

/** Returns a port that is free at this moment. Linux never uses the port for an outgoing connection of another process. */
export async function freePort(): Promise<number> {
  return await getPort({ port: portNumbers(randomInt(FIRST_PORT, LAST_START), LAST_PORT) })
}
