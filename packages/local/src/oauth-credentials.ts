/** The OAuth providers that the embedded auth server implements. */
const PROVIDERS = ['google', 'github'] as const

/** The credentials of each OAuth provider that is configured. */
export type OAuthCredentials = Map<string, { clientId: string; clientSecret: string }>

/**
 * Reads `<PROVIDER>_OAUTH_CLIENT_ID` and `<PROVIDER>_OAUTH_CLIENT_SECRET` of each provider. A provider without both is left out. The
 * placeholders in .env.example begin with `your-` and count as not set.
 */
export function readOAuthCredentials(variables: NodeJS.ProcessEnv): OAuthCredentials {
  const credentials: OAuthCredentials = new Map()
  for (const provider of PROVIDERS) {
    const [clientId = '', clientSecret = ''] = ['ID', 'SECRET'].map((part) => variables[variableOf(provider, part)])
    if ([clientId, clientSecret].every((value) => value !== '' && !value.startsWith('your-')))
      credentials.set(provider, { clientId, clientSecret })
  }
  return credentials
}

/** Returns the lines of the auth server's settings file. They contain no secrets: the auth server reads them from its environment. */
export function oauthSettings(credentials: OAuthCredentials): string {
  return [...credentials.keys()]
    .map(
      (provider) => `[auth.external.${provider}]
enabled = true
client_id = "env(${variableOf(provider, 'ID')})"
secret = "env(${variableOf(provider, 'SECRET')})"
`,
    )
    .join('\n')
}

/** Returns the environment variables to which `oauthSettings` refers. */
export function oauthVariables(credentials: OAuthCredentials): Record<string, string> {
  const variables = [...credentials].flatMap(([provider, { clientId, clientSecret }]) => [
    [variableOf(provider, 'ID'), clientId],
    [variableOf(provider, 'SECRET'), clientSecret],
  ])
  return Object.fromEntries(variables)
}

function variableOf(provider: string, part: string): string {
  return `${provider.toUpperCase()}_OAUTH_CLIENT_${part}`
}
