import { parse } from 'smol-toml'
import { expect, it } from 'vitest'
import { oauthSettings, oauthVariables, readOAuthCredentials } from './oauth-credentials.ts'

it('a provider is configured only if both of its credentials are set and are not the placeholders of .env.example', () => {
  const credentials = readOAuthCredentials({
    GOOGLE_OAUTH_CLIENT_ID: 'your-google-oauth-client-id',
    GOOGLE_OAUTH_CLIENT_SECRET: 'secret',
    GITHUB_OAUTH_CLIENT_ID: 'id',
    GITHUB_OAUTH_CLIENT_SECRET: 'secret',
  })
  expect([...credentials]).toEqual([['github', { clientId: 'id', clientSecret: 'secret' }]])
  expect(readOAuthCredentials({ GITHUB_OAUTH_CLIENT_ID: 'id', GITHUB_OAUTH_CLIENT_SECRET: '' }).size).toBe(0)
  expect(readOAuthCredentials({}).size).toBe(0)
})

it('the settings file of the auth server names the variables, and does not contain the secrets', () => {
  const credentials = readOAuthCredentials({ GITHUB_OAUTH_CLIENT_ID: 'the-id', GITHUB_OAUTH_CLIENT_SECRET: 'the-secret' })
  const settings = oauthSettings(credentials)
  expect(settings).not.toMatch(/the-id|the-secret/)
  expect(parse(settings)).toEqual({
    auth: {
      external: {
        github: { enabled: true, client_id: 'env(GITHUB_OAUTH_CLIENT_ID)', secret: 'env(GITHUB_OAUTH_CLIENT_SECRET)' },
      },
    },
  })
  expect(oauthVariables(credentials)).toEqual({ GITHUB_OAUTH_CLIENT_ID: 'the-id', GITHUB_OAUTH_CLIENT_SECRET: 'the-secret' })
})
