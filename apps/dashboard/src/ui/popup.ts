/** The styles that all kinds of dialogs share. */
export const BACKDROP =
  'fixed inset-0 bg-black/45 motion-safe:transition-opacity data-ending-style:opacity-0 data-starting-style:opacity-0'
export const POPUP =
  'fixed top-1/2 left-1/2 grid max-h-[calc(100dvh-2rem)] w-[min(32rem,calc(100vw-2rem))] -translate-1/2 gap-4 overflow-y-auto rounded-2xl border border-line bg-surface p-6 shadow-2xl motion-safe:transition data-ending-style:scale-97 data-ending-style:opacity-0 data-starting-style:scale-97 data-starting-style:opacity-0'
