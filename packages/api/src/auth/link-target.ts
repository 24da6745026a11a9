import type { Context } from '../context.ts'

/**
 * Returns the option of auth-js that makes the link in a mail lead to the page `next` of the dashboard. Without it, the link leads
 * to the "Site URL" of the Supabase project.
 *
 * The origin comes from the settings and never from the request: a stranger could otherwise make the mail of another person contain
 * a link to the stranger's site.
 */
export function linkTarget<Name extends 'emailRedirectTo' | 'redirectTo'>(
  { publicUrl }: Context,
  next: string | undefined,
  name: Name,
): { [_ in Name]?: string } {
  if (publicUrl === null || next === undefined) return {}
  return { [name]: new URL(next, publicUrl).href } as { [_ in Name]?: string }
}
