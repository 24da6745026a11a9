import { Settings } from '@keymeter/contract'

const response = await fetch('/config.json')
if (!response.ok) throw new Error(`/config.json answered ${response.status}`)

/** The settings of this deployment, fetched before anything is rendered. */
export const settings = Settings.parse(await response.json())
