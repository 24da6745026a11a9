/** Returns a name for each item. Items with the same short name get their long names. */
export function distinctNames<T>(all: T[], short: (one: T) => string, long: (one: T) => string): string[] {
  const names = all.map(short)
  return all.map((one, i) => {
    const name = short(one)
    return names.indexOf(name) === i && names.lastIndexOf(name) === i ? name : long(one)
  })
}
