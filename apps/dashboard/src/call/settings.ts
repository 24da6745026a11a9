import { Settings } from '@keymeter/contract'

const response = await fetch('/config.json')
if (!response.ok) throw new Error(`/config.json answered ${response.status}`)

/** This deployment's settings, fetched before anything is shown. */
export const settings = Settings.parse(await response.json())
