import { randomInt } from 'node:crypto'
import getPort, { clearLockedPorts, portNumbers } from 'get-port'

/** Databases and development servers usually listen below this port. */
const FIRST_PORT = 10_000
/** Linux gives ports from 32,768 on to outgoing connections. */
const LAST_PORT = 32_767
/** The search starts at a random port, so that processes that look for a port concurrently find different ones. */
const LAST_START = 30_000

/** Returns true when nothing listens on the port at any address of this machine. */
export async function isPortFree(port: number): Promise<boolean> {
  // Otherwise get-port rejects a port that it returned to this process before.
  clearLockedPorts()
  return (await getPort({ port })) === port
}

/**
 * Returns a port that is free at this moment. An outgoing connection of another process never takes it, because Linux does
 * not choose ports of this range for them.
 */
export async function freePort(): Promise<number> {
  return await getPort({ port: portNumbers(randomInt(FIRST_PORT, LAST_START), LAST_PORT) })
}
