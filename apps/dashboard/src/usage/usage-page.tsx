import { useNavigate, useSearch } from '@tanstack/react-router'
import { Select } from '../ui/select.tsx'
import { UsageEvents } from './usage-events.tsx'
import { UsageOverTime } from './usage-over-time.tsx'
import { defaultRange, RANGES, type UsageSearch } from './usage-search.ts'

const GROUPS = [
  { value: 'key', text: 'Key' },
  { value: 'operation', text: 'Operation' },
] as const

export function UsagePage() {
  const chosenDefault = defaultRange.use()
  const { range = chosenDefault, by = 'key' } = useSearch({ from: '/signed-in/usage' })
  const navigate = useNavigate({ from: '/usage' })
  return (
    <section aria-labelledby="usage" className="grid gap-4">
      <title>Usage · Keymeter</title>
      <h1 id="usage" className="text-xl font-semibold">
        Usage
      </h1>
      <search aria-label="Usage" className="grid gap-3 sm:grid-cols-2">
        <Select
          label="Time"
          options={RANGES}
          value={range}
          onValueChange={(chosen) => navigate({ search: (now: UsageSearch) => ({ ...now, range: chosen }) })}
        />
        <Select
          label="Group by"
          options={GROUPS}
          value={by}
          onValueChange={(chosen) => navigate({ search: (now: UsageSearch) => ({ ...now, by: chosen }) })}
        />
      </search>
      <UsageOverTime range={range} by={by} />
      <UsageEvents />
    </section>
  )
}
