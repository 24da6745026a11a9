import { comparePermissions, type Db, isOpening, PERMISSIONS_QUERY, type Permission, policyName } from '@keymeter/db'
import { sql } from 'kysely'
import { type Finding, fault, listed, ok } from './finding.ts'

const REPAIR = 'keymeter doctor --fix'

const isOfRole = ({ object }: Permission) => object.startsWith('role ')
const isOfRows = (permission: Permission) => policyName(permission) !== null || permission.fact === 'row level security is off'
const isOfFunctions = ({ fact }: Permission) => fact.startsWith('runs with')
const isOfOthers = (permission: Permission) => isOpening(permission) && !isOfRows(permission)
const isOther = (permission: Permission) =>
  ![isOfRole, isOfRows, isOfFunctions, isOfOthers].some((isOfThis) => isOfThis(permission))

/** Compares the role of the server, all rights and all policies with those that the migrations create. */
export async function checkPermissions(db: Db): Promise<Finding[]> {
  const { missing, additional } = await db.transaction().execute(async (transaction) => {
    // The texts of the policies contain the schema of a function only if the search_path does not contain this schema.
    await sql`set local search_path = ''`.execute(transaction)
    return comparePermissions((await sql.raw<Permission>(PERMISSIONS_QUERY).execute(transaction)).rows)
  })
  const { rows } = await sql<{ canLogIn: boolean }>`
    select rolcanlogin as "canLogIn" from pg_roles where rolname = 'keymeter_api'`.execute(db)
  const finding = (name: string, isOfThis: (permission: Permission) => boolean, fine: string, repair = REPAIR) => {
    const differences = [
      ...missing.filter(isOfThis).map(({ object, fact }) => `${object} lacks: ${fact}`),
      ...additional.filter(isOfThis).map(({ object, fact }) => `${object} has: ${fact}`),
    ]
    return differences.length === 0 ? ok(name, fine) : fault(name, `${listed(differences)}.`, repair)
  }
  return [
    checkRole(missing.filter(isOfRole), additional.filter(isOfRole), rows[0]?.canLogIn === true),
    finding('rights of others', isOfOthers, 'PUBLIC, anon, authenticated and service_role have none.'),
    finding('rows', isOfRows, 'Row level security is on for every table, and every policy exists.'),
    finding('rights of the server', isOther, 'They are those of the migrations.'),
    finding(
      'functions',
      isOfFunctions,
      'Only functions of the migrations run with the rights of their owner.',
      'Compare these functions with supabase/schemas/functions.',
    ),
  ]
}

function checkRole(missing: Permission[], additional: Permission[], canLogIn: boolean): Finding {
  const name = 'server role'
  if (missing.length > 0) return fault(name, `keymeter_api lacks: ${listed(missing.map(({ fact }) => fact))}.`, REPAIR)
  if (additional.length > 0)
    return fault(
      name,
      `keymeter_api ${listed(additional.map(({ fact }) => fact))}.`,
      'Take this from the role with alter role, revoke or alter … owner to.',
    )
  if (!canLogIn) return fault(name, 'keymeter_api cannot log in.', "alter role keymeter_api login password '…'")
  return ok(name, 'keymeter_api has its attributes and timeouts, and can log in.')
}
