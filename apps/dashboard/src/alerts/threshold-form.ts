import { AlertCreditsLeft, AlertThreshold } from '@keymeter/contract'
import { z } from 'zod'

/** The field is a text field, because a browser reports a number field with invalid text as empty. */
const formOf = (threshold: z.ZodType<number, number>) =>
  z.object({
    threshold: z
      .string()
      .trim()
      // People copy numbers from the pages, which group the digits.
      .transform((text) => (/^-?\d[\d,]*$/.test(text) ? Number(text.replaceAll(',', '')) : Number.NaN))
      .pipe(threshold),
  })

export const PercentForm = formOf(AlertThreshold)
export const CreditsLeftForm = formOf(AlertCreditsLeft)
