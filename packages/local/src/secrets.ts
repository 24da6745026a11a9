import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const NAMES = [
  'superuserPassword',
  'ownerPassword',
  'authPassword',
  'apiPassword',
  'jwtSecret',
  'publishableKey',
  'secretKey',
  'serviceKey',
] as const

/** What the embedded stack is opened with. Made up once for each data folder, and kept beside the data. */
export type Secrets = Record<(typeof NAMES)[number], string>

/** @throws Error when the file does not hold them all. */
export function loadSecrets(file: string): Secrets {
  if (existsSync(file)) return readSecrets(file)
  const random = () => randomBytes(24).toString('base64url')
  const secrets: Secrets = {
    superuserPassword: random(),
    ownerPassword: random(),
    authPassword: random(),
    apiPassword: random(),
    jwtSecret: randomBytes(48).toString('base64url'),
    publishableKey: `sb_publishable_${random()}`,
    secretKey: `sb_secret_${random()}`,
    serviceKey: makeServiceKey(),
  }
  writeFileSync(file, JSON.stringify(secrets, null, 2), { mode: 0o600 })
  return secrets
}

function makeServiceKey(): string {
  return `keymeter_service_${randomBytes(24).toString('base64url')}`
}

function readSecrets(file: string): Secrets {
  try {
    const secrets = JSON.parse(readFileSync(file, 'utf8'))
    // Opens nothing that is kept, so a folder from before there was one simply gets it.
    if (secrets.serviceKey === undefined) {
      secrets.serviceKey = makeServiceKey()
      writeFileSync(file, JSON.stringify(secrets, null, 2), { mode: 0o600 })
    }
    if (NAMES.every((name) => typeof secrets[name] === 'string')) return secrets
  } catch {}
  throw new Error(`${file} is damaged. Restore it, or start over with --reset.`)
}
