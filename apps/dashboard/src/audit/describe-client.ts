/** In this order: Edge and Opera also say Chrome, and everyone says Safari. */
const BROWSERS = [
  ['Edg', 'Edge'],
  ['OPR', 'Opera'],
  ['Firefox', 'Firefox'],
  ['Chrome', 'Chrome'],
  ['Safari', 'Safari'],
] as const
const SYSTEMS = [
  ['Windows', 'Windows'],
  ['Android', 'Android'],
  ['iPhone', 'iPhone'],
  ['iPad', 'iPad'],
  ['Mac OS X', 'macOS'],
  ['Linux', 'Linux'],
] as const
const TEXT_LENGTH_MAX = 40

/** `Firefox on Windows`; what is no browser by its first word: `curl/8.5.0`. */
export function describeClient(userAgent: string): string {
  const browser = BROWSERS.find(([sign]) => userAgent.includes(`${sign}/`))?.[1]
  const system = SYSTEMS.find(([sign]) => userAgent.includes(sign))?.[1]
  if (browser !== undefined && system !== undefined) return `${browser} on ${system}`
  const [first = ''] = userAgent.split(' ')
  return first.length > TEXT_LENGTH_MAX ? `${first.slice(0, TEXT_LENGTH_MAX)}…` : first
}
