import { disagreements } from '../../packages/local/src/testing/totals.ts'
import type { Database } from './cluster.ts'

/**
 * Whether all that was charged is there, once: by the events' number, and by the three totals that the tests compare.
 *
 * @param except those that a variant, which leaves something out, cannot meet.
 * @throws Error that says what is missing. A measurement of an engine that loses charges is worth nothing.
 */
export async function assertNothingLost(
  { owner }: Pick<Database, 'owner'>,
  charges: number,
  except: (what: string) => boolean = () => false,
): Promise<void> {
  const { rows } = await owner.query<{ count: string }>('select count(*) from api_key_usage')
  if (Number(rows[0]?.count) !== charges)
    throw new Error(`${charges} charges were answered, ${rows[0]?.count} are in the database`)
  const wrong = ((await disagreements({ owner })) as { what: string }[]).filter(({ what }) => !except(what))
  if (wrong.length > 0) throw new Error(`${wrong.length} totals disagree, the first: ${JSON.stringify(wrong[0])}`)
}
