/**
 * Exports the router's types for front ends: `import type { AppRouter } from '@keymeter/api'`. A value import of
 * `@keymeter/api` does not resolve, so no server code can reach a browser. The server imports `@keymeter/api/server`.
 */
import type { inferRouterInputs, inferRouterOutputs } from '@trpc/server'
import type { AppRouter } from './router.ts'

export type { AppRouter, ErrorData } from './router.ts'
export type RouterInputs = inferRouterInputs<AppRouter>
export type RouterOutputs = inferRouterOutputs<AppRouter>
