/** The maximum number of calls that load one page. Several calls are needed if few items match. */
const CALLS_MAX = 40

interface Answer<Item, Cursor> {
  data: Item[]
  nextCursor: Cursor | null
}

/**
 * Loads one page of a list with filters. Each call examines a limited number of items and may find few matching items or none.
 * The next call continues where the previous call ended. If the page has fewer than `count` items and a cursor, the user can
 * continue the search.
 */
export async function collectPage<Item, Cursor>(
  ask: (cursor: Cursor | null) => Promise<Answer<Item, Cursor>>,
  from: Cursor | null,
  count: number,
): Promise<Answer<Item, Cursor>> {
  const data: Item[] = []
  let cursor = from
  for (let calls = 0; calls < CALLS_MAX; calls++) {
    const page = await ask(cursor)
    data.push(...page.data)
    cursor = page.nextCursor
    if (cursor === null || data.length >= count) break
  }
  return { data, nextCursor: cursor }
}
