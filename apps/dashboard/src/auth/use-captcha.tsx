import type { CaptchaProvider } from '@keymeter/contract'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import { settings } from '../call/settings.ts'
import { Notice } from '../ui/notice.tsx'

/** The functions that the scripts of both providers offer. */
interface CaptchaApi {
  render: (
    element: HTMLElement,
    options: {
      sitekey: string
      callback: (token: string) => void
      'expired-callback': () => void
      'error-callback': () => void
    },
  ) => string
  reset: (id: string) => void
  remove: (id: string) => void
}

const SCRIPTS: Record<CaptchaProvider, string> = {
  turnstile: 'https://challenges.cloudflare.com/turnstile/v0/api.js?render=explicit',
  hcaptcha: 'https://js.hcaptcha.com/1/api.js?render=explicit&recaptchacompat=off',
}

let loading: Promise<CaptchaApi> | null = null

/** Loads the script of the provider once. After a failure, the next call loads it again. */
function loadCaptcha(provider: CaptchaProvider): Promise<CaptchaApi> {
  loading ??= new Promise<CaptchaApi>((resolve, reject) => {
    const script = document.createElement('script')
    script.src = SCRIPTS[provider]
    script.onload = () => resolve(Reflect.get(window, provider))
    script.onerror = () => {
      loading = null
      script.remove()
      reject(new Error('The captcha could not be loaded.'))
    }
    document.head.append(script)
  })
  return loading
}

interface Captcha {
  /** The captcha, or null if this deployment has none. */
  widget: ReactNode
  /** True if the person must solve the captcha first. */
  isMissing: boolean
  /** The field of a call that contains the token. It is empty if this deployment has no captcha. */
  input: { captchaToken?: string }
  /** Must be called after each call with the token, because a token works once. Shows another challenge. */
  renew: () => void
}

/** Shows the captcha that the Supabase project requires, if it requires one. */
export function useCaptcha(): Captcha {
  const element = useRef<HTMLDivElement>(null)
  const reset = useRef(() => {})
  const [token, setToken] = useState<string | null>(null)
  const [hasFailed, setHasFailed] = useState(false)
  useEffect(() => {
    const { captcha } = settings
    if (captcha === null) return
    const leaving = new AbortController()
    const show = async () => {
      const api = await loadCaptcha(captcha.provider)
      if (leaving.signal.aborted || element.current === null) return
      const id = api.render(element.current, {
        sitekey: captcha.siteKey,
        callback: (solved) => {
          setHasFailed(false)
          setToken(solved)
        },
        'expired-callback': () => setToken(null),
        'error-callback': () => {
          setToken(null)
          setHasFailed(true)
        },
      })
      reset.current = () => api.reset(id)
      leaving.signal.addEventListener('abort', () => api.remove(id))
    }
    show().catch(() => setHasFailed(true))
    return () => leaving.abort()
  }, [])
  const renew = () => {
    setToken(null)
    reset.current()
  }
  if (settings.captcha === null) return { widget: null, isMissing: false, input: {}, renew }
  const widget = (
    <>
      <div ref={element} />
      {hasFailed && (
        <Notice tone="danger">The captcha does not work at the moment. Check your connection and reload the page.</Notice>
      )}
    </>
  )
  return { widget, isMissing: token === null, input: token === null ? {} : { captchaToken: token }, renew }
}
