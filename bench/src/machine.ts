import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { cpus, loadavg, tmpdir, totalmem, type } from 'node:os'
import { join } from 'node:path'

const WRITE_BYTES = 8192
const PROBE_SECONDS = 1

export interface Machine {
  cpu: string
  cores: number
  memoryGiB: number
  system: string
  /** The number of times per second that one process can write 8 kB to the temporary folder and call fdatasync. */
  fdatasyncsPerSecond: number
}

export function readMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${process.arch}`,
    fdatasyncsPerSecond: Math.round(measureFdatasync()),
  }
}

/** Returns the load average of the last minute. It includes the benchmark and all other programs on the machine. */
export function loadAverage(): number {
  return loadavg()[0] ?? Number.NaN
}

function measureFdatasync(): number {
  const dir = mkdtempSync(join(tmpdir(), 'keymeter-fdatasync-'))
  const file = openSync(join(dir, 'probe'), 'w')
  const page = Buffer.alloc(WRITE_BYTES, 1)
  try {
    // Give the file its full size before the measurement. Postgres also writes to log files that already have their full size.
    for (let n = 0; n < 512; n++) writeSync(file, page)
    fdatasyncSync(file)
    const start = performance.now()
    let count = 0
    while (performance.now() - start < PROBE_SECONDS * 1000) {
      writeSync(file, page, 0, WRITE_BYTES, (count++ % 512) * WRITE_BYTES)
      fdatasyncSync(file)
    }
    return (count * 1000) / (performance.now() - start)
  } finally {
    closeSync(file)
    rmSync(dir, { recursive: true })
  }
}
