import type { ReactNode } from 'react'

/** The frame of every page on which a person signs in or opens a link of a mail. */
export function AuthPage({ title, children, footer }: { title: string; children: ReactNode; footer?: ReactNode }) {
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
      </div>
      {footer !== undefined && <p className="text-center text-sm text-ink-soft">{footer}</p>}
    </main>
  )
}
