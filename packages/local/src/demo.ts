/** The account that `pnpm dev --seed` adds. The password is public. This is safe, because the account exists only in the embedded database. */
export const DEMO = { email: 'demo@example.com', password: 'demo-password' }
