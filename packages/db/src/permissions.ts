import { PERMISSIONS } from './permissions.gen.ts'

/** One fact about the rights on one object of the database, e.g. `keymeter_api SELECT` on `table public.api_keys`. */
export interface Permission {
  object: string
  fact: string
}

/**
 * The roles whose rights are described. Other roles, e.g. a role for reports, are the operator's own. PUBLIC stands for every
 * role. Clients use the three roles of Supabase's Data API.
 */
const OPEN_ROLES = ['PUBLIC', 'anon', 'authenticated', 'service_role']
const SERVER_ROLE = 'keymeter_api'

/**
 * Selects everything that decides who can do what in our schemas, as rows of `Permission`: rights, policies, row level security,
 * and the attributes of the server's role. Every role can run this query. It works on Postgres 15, 17 and 18, and its result
 * contains neither the name of the owner nor the partitions of a month, except for faults of a partition.
 */
export const PERMISSIONS_QUERY = `
  with schemas as (
    select oid, nspname, nspacl, nspowner from pg_catalog.pg_namespace where nspname in ('public', 'keymeter')
  ), relations as (
    select relation.oid, relacl, relowner, relrowsecurity, relkind, nspname,
           case when relispartition then 'partition ' else 'table ' end || format('%I.%I', nspname, relname) as object
      from pg_catalog.pg_class as relation join schemas on schemas.oid = relnamespace
     where relkind in ('r', 'p', 'v', 'm', 'f')
  ), functions as (
    select proacl, proowner, prosecdef, proconfig,
           format('function %I.%I(%s)', nspname, proname, pg_catalog.pg_get_function_identity_arguments(function.oid)) as object
      from pg_catalog.pg_proc as function join schemas on schemas.oid = pronamespace
     where nspname = 'keymeter'
  ), rights as (
    select 'schema ' || nspname as object, nspowner as owner, (pg_catalog.aclexplode(coalesce(nspacl, pg_catalog.acldefault('n', nspowner)))).* from schemas
    union all
    select object, relowner, (pg_catalog.aclexplode(coalesce(relacl, pg_catalog.acldefault('r', relowner)))).* from relations
    union all
    select format('column %s.%I', substr(object, strpos(object, ' ') + 1), attname), relowner, (pg_catalog.aclexplode(attacl)).*
      from relations join pg_catalog.pg_attribute on attrelid = relations.oid and not attisdropped
    union all
    select object, proowner, (pg_catalog.aclexplode(coalesce(proacl, pg_catalog.acldefault('f', proowner)))).* from functions
  ), named_rights as (
    select object, case grantee when 0 then 'PUBLIC' else pg_catalog.pg_get_userbyid(grantee) end as role,
           privilege_type || case when is_grantable then ' with grant option' else '' end as privilege
      from rights where grantee <> owner
  )
  select object, role || ' ' || privilege as fact from named_rights
   where role = '${SERVER_ROLE}'
      -- Postgres itself, or Supabase, lets these roles use the schema public.
      or (role in (${OPEN_ROLES.map((role) => `'${role}'`).join(', ')}) and object <> 'schema public')
  union all
  select object, 'row level security is off' from relations where relkind in ('r', 'p') and nspname = 'public' and not relrowsecurity
  union all
  select object, 'exists' from relations where object like 'table public.%'
  union all
  select format('table %I.%I', schemaname, tablename),
         format('policy "%s" (%s) for %s to %s%s%s', policyname, lower(permissive), lower(cmd), array_to_string(roles, ', '),
                ' using ' || qual, ' with check ' || with_check)
    from pg_catalog.pg_policies join schemas on schemas.nspname = schemaname
  union all
  select object, 'runs with the rights of its owner' from functions where prosecdef
  union all
  select object, 'runs with the rights of its owner and the search_path of the caller' from functions
   where prosecdef and not exists (select from unnest(proconfig) as setting where setting like 'search_path=%')
  union all
  select 'role ${SERVER_ROLE}', facts.fact from pg_catalog.pg_roles
   cross join lateral (values (true, 'exists'), (rolsuper, 'is a superuser'), (rolbypassrls, 'bypasses row level security'),
                              (rolcreaterole, 'can create roles'), (rolcreatedb, 'can create databases')) as facts (applies, fact)
   where rolname = '${SERVER_ROLE}' and facts.applies
  union all
  select 'role ${SERVER_ROLE}', 'has the setting ' || split_part(setting, '=', 1)
    from pg_catalog.pg_roles cross join lateral unnest(rolconfig) as setting
   where rolname = '${SERVER_ROLE}'
     and split_part(setting, '=', 1) in ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'search_path')
  union all
  select 'role ${SERVER_ROLE}', 'is a member of ' || pg_catalog.pg_get_userbyid(roleid) from pg_catalog.pg_auth_members
   where pg_catalog.pg_get_userbyid(member) = '${SERVER_ROLE}'
  union all
  select 'role ${SERVER_ROLE}', 'owns ' || object
    from (select object, relowner from relations union all select object, proowner from functions union all select 'schema ' || nspname, nspowner from schemas)
         as owned (object, owner)
   where pg_catalog.pg_get_userbyid(owner) = '${SERVER_ROLE}'
  order by 1, 2`

/**
 * Compares the rights of a database with those that the migrations create. A table of the schema `public` that the migrations
 * do not create is ignored, because it does not belong to Keymeter.
 *
 * @param actual The result of `PERMISSIONS_QUERY`.
 */
export function comparePermissions(actual: readonly Permission[]): { missing: Permission[]; additional: Permission[] } {
  const wanted = Object.entries(PERMISSIONS).flatMap(([object, facts]) => facts.map((fact) => ({ object, fact })))
  const key = ({ object, fact }: Permission) => `${object}\n${fact}`
  const [wantedKeys, actualKeys] = [new Set(wanted.map(key)), new Set(actual.map(key))]
  return {
    missing: wanted.filter((permission) => !actualKeys.has(key(permission))),
    additional: actual.filter((permission) => isOurs(permission.object) && !wantedKeys.has(key(permission))),
  }
}

/**
 * True if the additional fact opens an object of Keymeter to roles that are not the server's role, or shows the server's role rows
 * of other accounts. The policies of a newer release name the account too, so they are not opening.
 */
export function isOpening(permission: Permission): boolean {
  const { fact } = permission
  return (
    OPEN_ROLES.some((role) => fact.startsWith(`${role} `)) ||
    fact === 'row level security is off' ||
    (policyName(permission) !== null &&
      fact.includes('(permissive)') &&
      !(fact.includes(` to ${SERVER_ROLE} `) && fact.includes('keymeter.current_account()')))
  )
}

/** Returns the name of the policy that the fact describes. Null if the fact is not a policy. */
export function policyName({ fact }: Permission): string | null {
  return /^policy "(.*?)" \((?:permissive|restrictive)\) for /.exec(fact)?.[1] ?? null
}

const OUR_TABLES = new Set(Object.keys(PERMISSIONS).flatMap((object) => /^table (.+)/.exec(object)?.[1] ?? []))

function isOurs(object: string): boolean {
  const [, kind, table = ''] = /^(table|column|partition) (public\.[^.]+)/.exec(object) ?? []
  if (kind === 'partition') return table.startsWith('public.api_key_usage_')
  return kind === undefined || OUR_TABLES.has(table)
}
