/**
 * Callers of the router, for the tests of the apps and for the benchmarks. The benchmarks run without Vitest, so the files
 * that are exported here must not import Vitest.
 */
export { accessToken, backend, charge, contextOf, provisioned, signedIn } from './caller.ts'
