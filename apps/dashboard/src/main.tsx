import { z } from 'zod'
import './index.css'

// By default, zod compiles schemas with `new Function`, which the page's Content-Security-Policy forbids.
z.config({ jitless: true })

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')

try {
  // start.tsx and its modules fetch the settings while they are loaded, and this can fail. The import is dynamic, so that the
  // page can then show a message.
  const { start } = await import('./app/start.tsx')
  start(root)
} catch (error) {
  console.error(error)
  root.textContent = 'Keymeter cannot be reached at the moment. Reload the page to try again.'
}
