import { type ReactNode, useState } from 'react'
import { Notice } from '../ui/notice.tsx'
import { GoogleButton } from './google-button.tsx'

export function AuthPage({ title, children, footer }: { title: string; children: ReactNode; footer: ReactNode }) {
  const [googleFault, setGoogleFault] = useState<string | null>(null)
  return (
    <main className="mx-auto grid w-full max-w-md gap-6 px-4 py-10 sm:py-20">
      <title>{`${title} · Keymeter`}</title>
      <div className="flex items-center gap-3 justify-self-center">
        <img src="/favicon.svg" alt="" className="size-9" />
        <span className="text-xl font-semibold tracking-tight">Keymeter</span>
      </div>
      <div className="grid gap-5 rounded-2xl border border-line bg-surface p-6 shadow-sm sm:p-8">
        <h1 className="text-xl font-semibold">{title}</h1>
        {children}
        <div className="flex items-center gap-3 text-sm text-ink-soft" aria-hidden="true">
          <span className="h-px grow bg-line" />
          or
          <span className="h-px grow bg-line" />
        </div>
        <GoogleButton onFault={setGoogleFault} />
        {googleFault !== null && <Notice tone="danger">{googleFault}</Notice>}
      </div>
      <p className="text-center text-sm text-ink-soft">{footer}</p>
    </main>
  )
}
