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

/**
 * Only menus, lists and pickers need these modules, and only pages loaded later have them. Files of `@base-ui/react` that export many
 * modules import them too, so start.tsx seems to need them.
 */
const OF_POPUPS =
  /@floating-ui\/|\/use(AnchorPositioning|ListNavigation|Typeahead|Click|Floating)\.mjs$|\/middleware\/arrow\.mjs$/

const START = /\/src\/app\/start\.tsx$/

/**
 * Returns true if start.tsx imports the module, directly or through other modules, and not only when a page is opened. All these
 * modules are in one file, so no file of the first load can import from a file that imports from it.
 */
function isOfStart(id: string, modules: { getModuleInfo(id: string): { importers: readonly string[] } | null }): boolean {
  const found = new Set([id])
  for (const module of found) {
    for (const importer of modules.getModuleInfo(module)?.importers ?? []) {
      if (START.test(importer)) return true
      found.add(importer)
    }
  }
  return false
}

export default defineConfig({
  // The server sends the compressed files that the build has made, so it does not compress a file for each request.
  plugins: [react(), tailwind(), compression({ algorithms: ['gzip', 'brotliCompress'], threshold: COMPRESSED_BYTES_MIN })],
  build: {
    target: 'es2023',
    // Vite's warning about size is off, because bundle.test.ts limits the size of the bundle.
    chunkSizeWarningLimit: Number.POSITIVE_INFINITY,
    // The code of the first load goes into one file. By default, the bundler makes many small files, which compress worse.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: 'message', priority: 2, test: OF_MAIN, includeDependenciesRecursively: false },
            {
              name: (id, modules) => (isOfStart(id, modules) ? 'shared' : null),
              priority: 1,
              test: (id) => !OF_POPUPS.test(id),
            },
            // Code that only pages loaded later share, e.g. the filter by key. Otherwise the first load would contain it.
            { name: 'later', minShareCount: 2, minSize: SHARED_BYTES_MIN },
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
