import { Settings } from '@keymeter/contract'

const response = await fetch('/config.json')
if (!response.ok) throw new Error(`/config.json answered ${response.status}`)

/** The settings of this deployment. The page fetches them before it renders anything. */
export const settings = Settings.parse(await response.json())
