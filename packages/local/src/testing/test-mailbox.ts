import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, inject } from 'vitest'
import { Mailbox } from '../mailbox.ts'

/** Starts a mailbox for the calling test file, and stops it after the last test of the file. The process of the test trusts it. */
export function testMailbox(): Mailbox {
  const { dir } = inject('cluster')
  const mailbox = new Mailbox()
  beforeAll(async () => {
    await mailbox.start(join(dir, `mailbox-${randomUUID()}`))
    setDefaultCACertificates([...getCACertificates('default'), readFileSync(mailbox.certificateFile, 'utf8')])
  })
  afterAll(async () => await mailbox.stop())
  return mailbox
}
