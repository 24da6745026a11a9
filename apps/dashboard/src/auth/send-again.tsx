import { MAIL_PAUSE_SECONDS, type RequestLink } from '@keymeter/contract'
import { useState } from 'react'
import { ErrorNotice } from '../call/error-notice.tsx'
import { Button } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'
import { useMsUntil } from '../ui/use-ms-until.ts'
import { useCaptcha } from './use-captcha.tsx'
import { useMailRequest } from './use-mail-request.ts'

interface SendAgainProps {
  request: RequestLink
  call: (input: RequestLink) => Promise<unknown>
  /** True if a mail was sent when this button appeared, so that the button waits first. */
  isSent: boolean
}

/** A button that asks for another mail. It counts down until the server would send one. */
export function SendAgain({ request, call, isSent }: SendAgainProps) {
  const [shownAt] = useState(() => new Date(Date.now() + (isSent ? MAIL_PAUSE_SECONDS * 1_000 : 0)).toISOString())
  const { send, readyAt, fault } = useMailRequest(call)
  const captcha = useCaptcha()
  const [isPending, setIsPending] = useState(false)
  const secondsLeft = Math.ceil(useMsUntil(readyAt ?? shownAt) / 1_000)
  const press = async () => {
    setIsPending(true)
    await send({ ...request, ...captcha.input })
    captcha.renew()
    setIsPending(false)
  }
  return (
    <div className="grid gap-3">
      {fault !== null && <ErrorNotice error={fault} />}
      {fault === null && readyAt !== null && <Notice>Another mail is on its way, if this address can get one.</Notice>}
      {captcha.widget}
      <Button variant="secondary" isPending={isPending} disabled={secondsLeft > 0 || captcha.isMissing} onClick={press}>
        {secondsLeft > 0 ? `Send again in ${formatWait(secondsLeft)}` : 'Send again'}
      </Button>
    </div>
  )
}

function formatWait(seconds: number): string {
  return seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`
}
