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

/** The passwords and keys of an embedded stack. Each stack has its own secrets, in a file beside its data. */
export type Secrets = Record<(typeof NAMES)[number], string>

/**
 * Reads the secrets from `file`. If the file is missing, creates it with random secrets.
 *
 * @throws Error if a secret is missing in the file.
 */
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
    serviceKey: `keymeter_service_${random()}`,
  }
  writeFileSync(file, JSON.stringify(secrets, null, 2), { mode: 0o600 })
  return secrets
}

function readSecrets(file: string): Secrets {
  try {
    const secrets = JSON.parse(readFileSync(file, 'utf8'))
    if (NAMES.every((name) => typeof secrets[name] === 'string')) return secrets
  } catch {}
  throw new Error(`${file} is damaged. Restore it, or delete the data with --reset.`)
}
