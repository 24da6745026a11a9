/**
 * Returns the header `Retry-After` of a response that contains these errors. A retry of the whole response can succeed only
 * after the longest of their times.
 */
export function retryAfter(errors: readonly { retryAfterSeconds: number | null }[]): Record<string, string> {
  const seconds = Math.max(0, ...errors.map(({ retryAfterSeconds }) => retryAfterSeconds ?? 0))
  return seconds === 0 ? {} : { 'retry-after': String(seconds) }
}
