import { Select } from '../ui/select.tsx'
import { type Theme, theme } from '../ui/theme.ts'
import { BROWSER_TIME_ZONE, browserTimeZoneName, timeZone } from '../ui/time-zone.ts'
import { defaultRange, RANGES } from '../usage/usage-search.ts'
import { Section } from './section.tsx'

const THEMES = [
  { value: 'system', text: 'Like the system' },
  { value: 'light', text: 'Light' },
  { value: 'dark', text: 'Dark' },
] as const satisfies { value: Theme; text: string }[]

export function DisplaySection() {
  const zone = timeZone.use()
  return (
    <Section title="Display">
      <p className="text-sm text-ink-soft">These choices are kept in this browser only.</p>
      <div className="grid gap-4 sm:grid-cols-3">
        <Select label="Theme" options={THEMES} value={theme.use()} onValueChange={theme.set} />
        <Select label="Time zone" options={timeZoneOptions(zone)} value={zone} onValueChange={timeZone.set} />
        <Select label="Usage page shows" options={RANGES} value={defaultRange.use()} onValueChange={defaultRange.set} />
      </div>
      <p className="text-sm text-ink-soft">Billing cycles always start and end in UTC.</p>
    </Section>
  )
}

/** Browsers list no alias, e.g. `Asia/Calcutta`, and some do not list `UTC`. The chosen time zone is always an option. */
function timeZoneOptions(chosen: string): { value: string; text: string }[] {
  const names = new Set(['UTC', ...Intl.supportedValuesOf('timeZone')])
  if (chosen !== BROWSER_TIME_ZONE) names.add(chosen)
  return [
    { value: BROWSER_TIME_ZONE, text: `Like this browser (${browserTimeZoneName()})` },
    ...[...names].map((name) => ({ value: name, text: name.replaceAll('_', ' ') })),
  ]
}
