import { z } from 'zod'
import './index.css'

// By default, zod compiles schemas with `new Function`, which the page's content policy forbids.
z.config({ jitless: true })

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')

try {
  // A dynamic import, because these modules fetch the settings while they load. That can fail, and the page must say so.
  const { start } = await import('./app/start.tsx')
  start(root)
} catch (error) {
  console.error(error)
  root.textContent = 'Keymeter cannot be reached at the moment. Reload the page to try again.'
}
