import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

/** What the embedded stack is opened with. Made up once for each data folder, and kept beside the data. */
export interface Secrets {
  superuserPassword: string
  ownerPassword: string
  authPassword: string
  apiPassword: string
  jwtSecret: string
  publishableKey: string
  secretKey: string
}

export function loadSecrets(file: string): Secrets {
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Secrets
  const random = () => randomBytes(24).toString('base64url')
  const secrets: Secrets = {
    superuserPassword: random(),
    ownerPassword: random(),
    authPassword: random(),
    apiPassword: random(),
    jwtSecret: randomBytes(48).toString('base64url'),
    publishableKey: `sb_publishable_${random()}`,
    secretKey: `sb_secret_${random()}`,
  }
  writeFileSync(file, JSON.stringify(secrets, null, 2), { mode: 0o600 })
  return secrets
}
