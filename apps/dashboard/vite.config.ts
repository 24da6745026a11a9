import tailwind from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

/** What main.tsx needs itself. In the shared file, it would run after all of that, and never when that fails. */
const OF_MAIN = /zod\/v4\/core\/(core|util)\.js|vite\/preload-helper/

export default defineConfig({
  plugins: [react(), tailwind()],
  build: {
    target: 'es2023',
    // What the page may weigh is for bundle.test.ts to say.
    chunkSizeWarningLimit: Number.POSITIVE_INFINITY,
    // What pages share is one file. Cut where the bundler would cut it, many small ones would compress worse than they save.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: 'shared', minShareCount: 2, test: (id) => !OF_MAIN.test(id), includeDependenciesRecursively: false },
          ],
        },
      },
    },
  },
  // Dependencies are pre-bundled when the server starts, not at the first visit, which would reload the page.
  optimizeDeps: { entries: ['src/main.tsx'] },
  // Vite would serve any file of the workspace in development: the embedded stack's secrets, say.
  server: { fs: { allow: ['.', '../../packages/contract/src'] } },
})
