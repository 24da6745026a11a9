import { z } from 'zod'
import { createStored } from './stored.ts'

const Theme = z.enum(['system', 'light', 'dark'])
export type Theme = z.infer<typeof Theme>

/** The colours of all pages. `system` means those of the operating system. theme.js applies the choice before the first paint. */
export const theme = createStored<Theme>('keymeter-theme', Theme, 'system')

/** Applies each later choice, also one of another tab. */
export function followTheme(): void {
  theme.listen((chosen) => {
    document.documentElement.dataset['theme'] = chosen
  })
}
