import tailwind from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

/** Modules that main.tsx needs to report a failed start. In the shared file, they would fail together with it. */
const OF_MAIN = /zod\/v4\/core\/(core|util)\.js|vite\/preload-helper/

export default defineConfig({
  plugins: [react(), tailwind()],
  build: {
    target: 'es2023',
    // bundle.test.ts limits the size.
    chunkSizeWarningLimit: Number.POSITIVE_INFINITY,
    // Code that several pages share goes into one file. The bundler would make many small files, which compress worse.
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
  // Pre-bundle dependencies when the server starts. At the first visit, that would reload the page.
  optimizeDeps: { entries: ['src/main.tsx'] },
  // By default, Vite serves any file of the workspace in development, e.g. the secrets of the embedded stack.
  server: { fs: { allow: ['.', '../../packages/contract/src'] } },
})
