/**
 * Computes a cycle boundary in a simple way, to check the SQL function. The boundary is `anchor` plus `months`. If that
 * month is too short for the day of the anchor, the boundary is on the last day of the month.
 */
export function naiveBoundary(anchor: Date, months: number): Date {
  const year = anchor.getUTCFullYear() + Math.floor((anchor.getUTCMonth() + months) / 12)
  const month = (anchor.getUTCMonth() + months) % 12
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  const length = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month] ?? 0
  const time = anchor.getTime() % 86_400_000
  return new Date(Date.UTC(year, month, Math.min(anchor.getUTCDate(), length)) + time)
}
