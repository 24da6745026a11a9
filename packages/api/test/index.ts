/**
 * Callers of the router for the tests of the apps and for the benchmarks. The benchmarks run without Vitest, so these files
 * must not import it.
 */
export { accessToken, backend, charge, contextOf, provisioned, signedIn } from './caller.ts'
