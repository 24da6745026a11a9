import { withClient } from './database.ts'

const SCHEMAS = `('public', 'keymeter')`
const acl = (column: string) =>
  `coalesce((select string_agg(entry::text, ' ' order by entry::text) from unnest(${column}) as entry), '-')`

/**
 * One query for each kind of database object. The queries also read what the Supabase CLI's diff ignores: comments, storage and
 * statistics options of columns, replica identity, and the order of columns.
 */
const OBJECTS = [
  `select format('schema %s: rights %s, %s', nspname, ${acl('nspacl')}, obj_description(oid, 'pg_namespace'))
     from pg_namespace where nspname in ${SCHEMAS}`,
  `select format('relation %s: kind %s, options %s, row security %s %s, replica identity %s, rights %s, partition %s of %s by %s, comment %s',
                 oid::regclass, relkind, reloptions, relrowsecurity, relforcerowsecurity, relreplident, ${acl('relacl')},
                 pg_get_expr(relpartbound, oid), (select inhparent::regclass from pg_inherits where inhrelid = pg_class.oid),
                 pg_get_partkeydef(oid), obj_description(oid, 'pg_class'))
     from pg_class where relnamespace::regnamespace::text in ${SCHEMAS}`,
  `select format('column %s.%s: place %s, %s, not null %s, default %s, generated %s, storage %s, options %s, rights %s, comment %s',
                 attrelid::regclass, attname, row_number() over (partition by attrelid order by attnum), format_type(atttypid, atttypmod),
                 attnotnull, pg_get_expr(adbin, adrelid), attgenerated, attstorage, attoptions, ${acl('attacl')}, col_description(attrelid, attnum))
     from pg_attribute
     join pg_class on pg_class.oid = attrelid
     left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where relnamespace::regnamespace::text in ${SCHEMAS} and attnum > 0 and not attisdropped`,
  `select format('constraint %s on %s %s: %s', conname, conrelid::regclass, contypid::regtype, pg_get_constraintdef(oid))
     from pg_constraint where connamespace::regnamespace::text in ${SCHEMAS}`,
  `select 'index ' || pg_get_indexdef(indexrelid) from pg_index join pg_class on pg_class.oid = indexrelid
    where relnamespace::regnamespace::text in ${SCHEMAS}`,
  `select format('function %s: rights %s, comment %s', pg_get_functiondef(oid), ${acl('proacl')}, obj_description(oid, 'pg_proc'))
     from pg_proc where pronamespace::regnamespace::text in ${SCHEMAS} and prokind in ('f', 'p')`,
  `select format('type %s: kind %s of %s, rights %s, comment %s', oid::regtype, typtype, format_type(typbasetype, typtypmod), ${acl('typacl')}, obj_description(oid, 'pg_type'))
     from pg_type where typnamespace::regnamespace::text in ${SCHEMAS}`,
  `select format('policy %s', pg_policies) from pg_policies where schemaname in ${SCHEMAS}`,
  `select format('trigger %s', pg_get_triggerdef(pg_trigger.oid)) from pg_trigger join pg_class on pg_class.oid = tgrelid
    where relnamespace::regnamespace::text in ${SCHEMAS} and not tgisinternal`,
  `select format('default rights in %s of %s: %s', defaclnamespace::regnamespace, defaclobjtype, ${acl('defaclacl')}) from pg_default_acl`,
  `select format('plan %s: %s credits', plan, credits_per_cycle) from public.plans`,
]

/** Returns one line for each object of our schemas, sorted. Two databases with the same objects have the same lines. */
async function describeSchema(url: string): Promise<string[]> {
  return await withClient(url, async (client) => {
    const lines: string[] = []
    for (const query of OBJECTS) {
      const { rows } = await client.query<[string]>({ text: query, rowMode: 'array' })
      lines.push(...rows.map(([line]) => line))
    }
    return lines.sort()
  })
}

/** Returns the differences between two databases. Each line begins with "only in <name>:" and describes one object. */
export async function compareSchemas(a: { name: string; url: string }, b: { name: string; url: string }): Promise<string[]> {
  const [ofA, ofB] = [await describeSchema(a.url), await describeSchema(b.url)]
  const only = (name: string, lines: string[], others: string[]) => {
    const known = new Set(others)
    return lines.filter((line) => !known.has(line)).map((line) => `only in ${name}: ${line}`)
  }
  return [...only(a.name, ofA, ofB), ...only(b.name, ofB, ofA)]
}
