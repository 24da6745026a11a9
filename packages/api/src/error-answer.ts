import type { Reason } from '@keymeter/contract'
import { getTRPCErrorShape, type TRPCError } from '@trpc/server'
import { AppError } from './errors.ts'
import { appRouter } from './router.ts'

/** Returns the body of an error that occurs outside tRPC. The body has the same shape as the errors of tRPC. */
export function errorAnswer(error: Reason | TRPCError) {
  const shape = getTRPCErrorShape({
    config: appRouter._def._config,
    error: typeof error === 'string' ? new AppError(error) : error,
    type: 'unknown',
    path: undefined,
    input: undefined,
    ctx: undefined,
  })
  return { error: shape }
}
