import { getParser } from 'bowser'

const TEXT_LENGTH_MAX = 40

/**
 * Returns e.g. `Firefox on Windows` for a browser. For any other client, returns the first word of its user agent, e.g.
 * `curl/8.5.0`.
 */
export function describeClient(userAgent: string): string {
  const client = getParser(userAgent)
  const browser = client.getBrowserName()
  const system = client.getOSName()
  if (browser !== '' && system !== '') return `${browser} on ${system}`
  const [first = ''] = userAgent.split(' ')
  return first.length > TEXT_LENGTH_MAX ? `${first.slice(0, TEXT_LENGTH_MAX)}…` : first
}
