import type pg from 'pg'

/**
 * Gives a current secret to each key that has no secret. Nobody knows these secrets. A test that inserts keys with SQL calls this
 * function, because every key of the product has a current secret.
 */
export async function insertSecrets(owner: pg.Pool): Promise<void> {
  await owner.query(
    `insert into api_key_secrets (user_id, api_key_id, key_hash, key_prefix)
     select user_id, id, sha256(convert_to(id::text, 'utf8')), 'km_' || key_type || '_' || substr(md5(id::text), 1, 8)
       from api_keys as keys
      where not exists (select from api_key_secrets as secrets where secrets.user_id = keys.user_id and secrets.api_key_id = keys.id)`,
  )
}
