import ipaddr from 'ipaddr.js'

/** The number of 16-bit parts of an IPv6 address that name its network: 64 bits. */
const IPV6_NETWORK_PARTS = 4

/** A proxy can append the client's port, e.g. `192.0.2.7:4711` or `[2001:db8::1]:4711`. */
const WITHOUT_PORT = /^(?:\[([^\]]+)\](?::\d+)?|([^:]+):\d+)$/

/**
 * Returns the network of a client, for limits by client address. The network of an IPv4 address is the address itself. The network
 * of an IPv6 address is its /64, because a provider gives each customer at least a /64, and the customer can use every address in
 * it. An IPv4 address that is written as an IPv6 address (`::ffff:192.0.2.7`) counts as IPv4.
 *
 * All clients whose address is null or not valid share the network `unknown`. Otherwise a client that hides its address would
 * have no limit.
 */
export function networkOf(clientAddress: string | null): string {
  const [, bracketed, withPort] = WITHOUT_PORT.exec(clientAddress ?? '') ?? []
  const address = bracketed ?? withPort ?? clientAddress ?? ''
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) return address
  if (!ipaddr.IPv6.isValid(address)) return 'unknown'
  const parsed = ipaddr.IPv6.parse(address)
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString()
  const network = parsed.parts.slice(0, IPV6_NETWORK_PARTS).map((part) => part.toString(16))
  return `${network.join(':')}::/64`
}
