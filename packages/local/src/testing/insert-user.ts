import type pg from 'pg'

/** Creates a user with a confirmed address, if the user does not exist. Returns the id. */
export async function insertUser(owner: pg.Pool, id: string): Promise<string> {
  await owner.query(
    'insert into auth.users (id, email, email_confirmed_at) values ($1, $2, now()) on conflict (id) do nothing',
    [id, `${id}@example.com`],
  )
  return id
}
