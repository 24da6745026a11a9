/**
 * Callers of the router, for the tests of the apps and for the benchmarks. The benchmarks run without Vitest, so the files
 * that are exported here must not import Vitest.
 */
export { accessToken, backend, charge, contextOf, JWT_SECRET, provisioned, SERVICE_KEY, signedIn } from './caller.ts'
export { memberOf } from './members.ts'
