import type { Reason } from '@keymeter/contract'
import { getTRPCErrorShape } from '@trpc/server'
import { AppError } from './errors.ts'
import { appRouter } from './router.ts'

/** The answer to a request that is refused before tRPC sees it, in the same shape as tRPC's own. */
export function errorAnswer(reason: Reason) {
  const error = getTRPCErrorShape({
    config: appRouter._def._config,
    error: new AppError(reason),
    type: 'unknown',
    path: undefined,
    input: undefined,
    ctx: undefined,
  })
  return { error }
}
