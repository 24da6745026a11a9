/**
 * Returns the network address of the client. Each of our proxies appends the address of its own client to `x-forwarded-for`.
 * Only the last `trustedProxyHops` entries of the header are trusted, because the client can forge all earlier entries.
 *
 * @returns null if the header has fewer entries than there are proxies.
 */
export function clientAddress(socketAddress: string | undefined, forwardedFor: string | undefined, trustedProxyHops: number) {
  if (trustedProxyHops === 0) return socketAddress ?? null
  return forwardedFor?.split(',').at(-trustedProxyHops)?.trim() || null
}
