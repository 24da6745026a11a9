/**
 * The caller's network address. Each proxy in front appends the address that it was called from to `x-forwarded-for`;
 * only the last `trustedProxyHops` entries are ours, everything before them is the caller's own word.
 */
export function clientAddress(socketAddress: string | undefined, forwardedFor: string | undefined, trustedProxyHops: number) {
  if (trustedProxyHops === 0) return socketAddress ?? null
  return forwardedFor?.split(',').at(-trustedProxyHops)?.trim() || null
}
