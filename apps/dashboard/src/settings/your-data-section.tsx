import { useMay } from '../account/current-account.ts'
import { DownloadButton } from '../call/download-button.tsx'
import { Section } from './section.tsx'

const FILE = {
  path: '/export/account.json',
  name: 'keymeter-account',
  extension: 'json',
  contentType: 'application/json',
}

export function YourDataSection() {
  const mayDownload = useMay('export.account')
  return (
    <Section title="Your data">
      <p className="text-sm text-ink-soft">
        Download everything that Keymeter stores about this account as one JSON file: members, keys without their secrets,
        credits, activity, and all usage events.
      </p>
      <div className="flex flex-wrap items-center justify-start gap-3">
        {mayDownload ? (
          <DownloadButton label="Download my data" file={FILE} />
        ) : (
          <p className="text-sm">Only owners and admins can download it: ask one of them.</p>
        )}
      </div>
    </Section>
  )
}
