import { readFile } from 'node:fs/promises'

/** The kernel's tables of connections. Only Linux has them. */
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6']

/**
 * Reads how many bytes the kernel still keeps for each connection at this port, because the other end has not acknowledged
 * them. Node does not report this number: it reports when the kernel can take more, and that is once per megabyte for a client
 * that reads slowly.
 *
 * @returns the numbers by the port of the other end. The map is empty on other systems than Linux.
 */
export async function readUnacknowledgedBytes(localPort: number): Promise<Map<number, number>> {
  const row = new RegExp(`^ *\\d+: [0-9A-F]+:${hexPort(localPort)} [0-9A-F]+:([0-9A-F]{4}) .. ([0-9A-F]{8}):`, 'gm')
  const bytes = new Map<number, number>()
  for (const table of TABLES) {
    const text = await readFile(table, 'latin1').catch(() => '')
    for (const [, remotePort = '', count = ''] of text.matchAll(row)) {
      const port = Number.parseInt(remotePort, 16)
      // Two clients can have the same port. The smaller number does not harm a client that makes progress.
      bytes.set(port, Math.min(bytes.get(port) ?? Number.POSITIVE_INFINITY, Number.parseInt(count, 16)))
    }
  }
  return bytes
}

function hexPort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0')
}
