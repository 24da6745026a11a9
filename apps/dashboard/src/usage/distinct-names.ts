/** Returns a name for each item: the short name, or the long name if another item has the same short name. */
export function distinctNames<T>(all: T[], short: (one: T) => string, long: (one: T) => string): string[] {
  const names = all.map(short)
  return all.map((one, i) => {
    const name = short(one)
    return names.indexOf(name) === i && names.lastIndexOf(name) === i ? name : long(one)
  })
}
