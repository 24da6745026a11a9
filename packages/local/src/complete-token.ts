import { jwtVerify, SignJWT } from 'jose'
import { withClient } from './database.ts'

/** Adds to an access token the claims that the embedded auth server leaves out. Returns another access token. */
export type TokenCompleter = (accessToken: string) => Promise<string>

/**
 * Supabase Auth writes into each access token how and when the user signed in (`amr`), and whether the session has a second factor
 * (`aal`). The embedded auth server writes neither, so this function reads both from the row of the session. A refresh does not
 * change the time at which this row was created. The embedded auth server does not record the method of the sign-in, so it is
 * always `password`.
 */
export function createTokenCompleter({ databaseUrl, jwtSecret }: { databaseUrl: string; jwtSecret: string }): TokenCompleter {
  const secret = new TextEncoder().encode(jwtSecret)
  return async (accessToken) => {
    const { payload, protectedHeader } = await jwtVerify(accessToken, secret)
    const { rows } = await withClient(
      databaseUrl,
      async (client) =>
        await client.query<{ aal: string | null; timestamp: number }>(
          'select aal, extract(epoch from created_at)::int as timestamp from auth.sessions where id = $1',
          [payload['session_id']],
        ),
    )
    const [{ aal, timestamp } = { aal: null, timestamp: 0 }] = rows
    return await new SignJWT({ ...payload, aal: aal ?? 'aal1', amr: [{ method: 'password', timestamp }] })
      .setProtectedHeader({ ...protectedHeader, alg: 'HS256' })
      .sign(secret)
  }
}
