/**
 * The router's types, for front ends: `import type { AppRouter } from '@keymeter/api'`. A value import of this entry does not
 * resolve, so that no server code can reach a browser. The server imports `@keymeter/api/server`.
 */
import type { inferRouterInputs, inferRouterOutputs } from '@trpc/server'
import type { AppRouter } from './router.ts'

export type { AppRouter, ErrorData } from './router.ts'
export type RouterInputs = inferRouterInputs<AppRouter>
export type RouterOutputs = inferRouterOutputs<AppRouter>
