import type { TestDatabase } from '@keymeter/local/testing'
import { hashToken } from '../src/keys/token.ts'

/** Returns for each secret whether it works now. The query has the same conditions as the query of the charge engine. */
export async function working(
  { owner }: Pick<TestDatabase, 'owner'>,
  userId: string,
  ...secrets: string[]
): Promise<boolean[]> {
  const { rows } = await owner.query<{ works: boolean }>(
    `select keys.id is not null as works
       from unnest($2::bytea[]) with ordinality as given (hash, n)
       left join api_key_secrets as secrets on secrets.user_id = $1 and secrets.key_hash = given.hash
                                           and (secrets.valid_until is null or secrets.valid_until > keymeter.now())
       left join api_keys as keys on keys.user_id = secrets.user_id and keys.id = secrets.api_key_id and keys.revoked_at is null
                                 and keys.disabled_at is null and (keys.expires_at is null or keys.expires_at > keymeter.now())
      order by n`,
    [userId, secrets.map(hashToken)],
  )
  return rows.map(({ works }) => works)
}
