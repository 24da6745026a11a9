import type { UsageEventFilters } from '@keymeter/contract'
import { DownloadButton } from '../call/download-button.tsx'

/** Exports all matching events, not only the loaded ones. */
export function ExportEvents({ filters, isReady }: { filters: UsageEventFilters; isReady: boolean }) {
  const file = {
    path: `/export/usage.csv?${queryOf(filters)}`,
    name: 'keymeter-usage',
    extension: 'csv',
    contentType: 'text/csv',
  }
  return <DownloadButton label="Export CSV" file={file} isReady={isReady} side="right" />
}

function queryOf(filters: UsageEventFilters): URLSearchParams {
  const all = Object.entries(filters).flatMap(([name, value]) => [value ?? []].flat().map((one) => [name, one]))
  return new URLSearchParams(all)
}
