/** The maximum length of a path to which a person returns after a sign-in. The longest URL of a page with all filters is shorter. */
export const NEXT_PATH_LENGTH_MAX = 1_000

/** An origin that does not exist. A path that leads to another origin does not keep it. */
const ANY_ORIGIN = 'http://origin.invalid'
/** Browsers ignore some of these characters, and read a backslash as a slash. */
const NOT_IN_PATH = /[\s\p{Cc}\\]/u

/**
 * Returns the page to which a person goes after a sign-in: `value` if it is a path of this site, e.g. `/usage?range=7d`, otherwise
 * `/`.
 *
 * The value comes from a link that anybody can write. A path that a browser, a proxy or the router could read as another site is
 * refused: `//host`, `/\host`, `https:host`, `javascript:…`, and forms that become one of these when dots, percent signs or control
 * characters are decoded. A result is a result of itself, so it can be checked again in another place.
 */
export function nextPath(value: unknown): string {
  if (typeof value !== 'string' || value.length > NEXT_PATH_LENGTH_MAX) return '/'
  if (!value.startsWith('/') || NOT_IN_PATH.test(value) || !URL.canParse(value, ANY_ORIGIN)) return '/'
  const { origin, pathname, search, hash } = new URL(value, ANY_ORIGIN)
  const decoded = decode(pathname)
  // A percent sign that is left could be decoded a second time.
  if (origin !== ANY_ORIGIN || decoded === null || /\/\/|%/.test(decoded) || NOT_IN_PATH.test(decoded)) return '/'
  const path = `${pathname}${search}${hash}`
  // Characters that are not ASCII are longer in the normalized form.
  return path.length > NEXT_PATH_LENGTH_MAX ? '/' : path
}

function decode(pathname: string): string | null {
  try {
    return decodeURIComponent(pathname)
  } catch {
    return null
  }
}
