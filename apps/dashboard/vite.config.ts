import tailwind from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'
import { compression } from 'vite-plugin-compression2'

/** Smaller files fit into one packet of the network, so compression would not make them faster. */
const COMPRESSED_BYTES_MIN = 1_000

/** Smaller files of shared code are merged with another file, because many small files compress worse. */
const SHARED_BYTES_MIN = 30_000

/**
 * main.tsx needs these modules to show a message if the dashboard cannot start. They are not in the shared file: if the shared
 * file cannot be loaded, main.tsx must still show the message.
 */
const OF_MAIN = /zod\/v4\/core\/(core|util)\.js|vite\/preload-helper/

export default defineConfig({
  // The server sends the compressed files that the build has made, so it does not compress a file for each request.
  plugins: [react(), tailwind(), compression({ algorithms: ['gzip', 'brotliCompress'], threshold: COMPRESSED_BYTES_MIN })],
  build: {
    target: 'es2023',
    // Vite's warning about size is off, because bundle.test.ts limits the size of the bundle.
    chunkSizeWarningLimit: Number.POSITIVE_INFINITY,
    // Code that several pages share goes into one file. By default, the bundler makes many small files, which compress worse.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            {
              name: 'shared',
              minShareCount: 2,
              // Code that only pages loaded later share, e.g. the filter by key, gets a file of its own. Otherwise the first
              // load would contain it.
              entriesAware: true,
              entriesAwareMergeThreshold: SHARED_BYTES_MIN,
              test: (id) => !OF_MAIN.test(id),
              includeDependenciesRecursively: false,
            },
          ],
        },
      },
    },
  },
  // Bundle the dependencies when the server starts. Otherwise Vite would bundle them at the first visit and then reload the
  // page.
  optimizeDeps: { entries: ['src/main.tsx'] },
  // Limit the files that the development server serves. By default, Vite serves any file of the workspace, e.g. the secrets of
  // the embedded stack.
  server: { fs: { allow: ['.', '../../packages/contract/src'] } },
})
