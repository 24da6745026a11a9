import { z } from 'zod'
import './index.css'

// zod would compile its schemas with `new Function`, which the page's content policy forbids.
z.config({ jitless: true })

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')

try {
  // Only now: the modules behind it need the settings, which are fetched while they load.
  const { start } = await import('./app/start.tsx')
  start(root)
} catch (error) {
  console.error(error)
  root.textContent = 'Keymeter cannot be reached at the moment. Reload the page to try again.'
}
