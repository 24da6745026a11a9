import { AlertThreshold } from '@keymeter/contract'
import { z } from 'zod'

/** Text, because a number field calls whatever it cannot read empty. */
export const ThresholdForm = z.object({
  threshold: z
    .string()
    .trim()
    .transform((text) => (/^-?\d+$/.test(text) ? Number(text) : Number.NaN))
    .pipe(AlertThreshold),
})
