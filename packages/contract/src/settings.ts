import { z } from 'zod'

/** What the dashboard learns at run time, from `/config.json`: one build serves every deployment. Nothing secret. */
export const Settings = z.object({
  supabaseUrl: z.url(),
  supabasePublishableKey: z.string(),
  googleSignIn: z.boolean(),
})
export type Settings = z.infer<typeof Settings>
