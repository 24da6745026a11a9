/**
 * For the tests of the apps and for the benchmarks: the router as a user or the company's backend calls it. Nothing here
 * needs vitest.
 */
export { accessToken, backend, charge, contextOf, provisioned, signedIn } from './caller.ts'
