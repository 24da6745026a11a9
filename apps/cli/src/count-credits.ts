/** Returns e.g. `1 credit` or `500 credits`. */
export function countCredits(credits: number): string {
  return `${credits} ${credits === 1 ? 'credit' : 'credits'}`
}
