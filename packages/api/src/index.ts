/**
 * The router's types, for front ends: `import type { AppRouter } from '@keymeter/api'`. Nothing else leaves through this
 * door, and a value import of it resolves nowhere, so that no server code can reach a browser. The server enters through
 * `@keymeter/api/server`.
 */
import type { inferRouterInputs, inferRouterOutputs } from '@trpc/server'
import type { AppRouter } from './router.ts'

export type { AppRouter, ErrorData } from './router.ts'
export type RouterInputs = inferRouterInputs<AppRouter>
export type RouterOutputs = inferRouterOutputs<AppRouter>
