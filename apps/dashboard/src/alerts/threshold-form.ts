import { AlertThreshold } from '@keymeter/contract'
import { z } from 'zod'

/** The field is a text field, because a browser reports a number field with invalid text as empty. */
export const ThresholdForm = z.object({
  threshold: z
    .string()
    .trim()
    .transform((text) => (/^-?\d+$/.test(text) ? Number(text) : Number.NaN))
    .pipe(AlertThreshold),
})
