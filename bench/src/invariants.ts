import { reconcile } from '@keymeter/api/server'
import type { Database } from './cluster.ts'

/**
 * Checks that the database contains as many usage events as there were successful charges, and that all totals agree with the
 * events.
 *
 * @param missing are the checks of `reconcile` that must find differences, because a variant of the product does not write some
 *   rows. If such a check finds no difference, the measurement did not use the variant.
 * @throws Error with the first difference.
 */
export async function assertNothingLost(
  { owner, ownerDb }: Database,
  charges: number,
  missing: readonly string[] = [],
): Promise<void> {
  const { rows } = await owner.query<{ count: string }>('select count(*) from api_key_usage')
  if (Number(rows[0]?.count) !== charges)
    throw new Error(`${charges} charges were answered, but the database contains ${rows[0]?.count} usage events`)
  const differences = await reconcile(ownerDb)
  const wrong = differences.filter(({ what }) => !missing.includes(what))
  if (wrong.length > 0) throw new Error(`reconcile found ${wrong.length} differences, the first: ${JSON.stringify(wrong[0])}`)
  for (const check of missing)
    if (!differences.some(({ what }) => what === check))
      throw new Error(`the check "${check}" found no difference, so the variant without these rows was not used`)
}
