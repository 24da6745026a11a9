import { z } from 'zod'

/**
 * The public settings of a deployment. The dashboard loads them from `/config.json`, so one build works in every deployment.
 */
export const Settings = z.object({
  supabaseUrl: z.url(),
  supabasePublishableKey: z.string(),
  googleSignIn: z.boolean(),
  /** True if people can set up a second factor. */
  secondFactor: z.boolean(),
})
export type Settings = z.infer<typeof Settings>
