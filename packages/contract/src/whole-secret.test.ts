import { describe, expect, it } from 'vitest'
import { InvitationToken } from './members.ts'
import { cutSecrets, hasNoWholeSecret } from './whole-secret.ts'

const TOKEN = `kminv_${'aB3-_'.repeat(8)}xyz`

describe('the token of an invitation in a text', () => {
  it.each([
    ['a link', `https://usage.example.com/invite#${TOKEN}`, 'https://usage.example.com/invite#kminv'],
    ['an encoded link', `next=%2Finvite%23${TOKEN.replace('_', '%5F')}&x=1`, 'next=%2Finvite%23kminv&x=1'],
    ['most of a token', `see ${TOKEN.slice(0, 26)} there`, 'see kminv there'],
  ])('%s counts as a secret and is cut', (_, text, cut) => {
    expect(InvitationToken.safeParse(TOKEN).success).toBe(true)
    expect(hasNoWholeSecret(text)).toBe(false)
    expect(cutSecrets(text)).toBe(cut)
  })

  it('a short part of a token is not a secret', () => {
    expect(hasNoWholeSecret(TOKEN.slice(0, 25))).toBe(true)
  })
})
