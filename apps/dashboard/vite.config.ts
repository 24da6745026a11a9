import tailwind from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [react(), tailwind()],
  build: {
    target: 'es2023',
    // What pages share is one file. Cut where the bundler would cut it, many small ones would compress worse than they save.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'shared', minShareCount: 2 }] } } },
  },
  // Dependencies are pre-bundled when the server starts, not at the first visit, which would reload the page.
  optimizeDeps: { entries: ['src/main.tsx'] },
  // Vite would serve any file of the workspace in development: the embedded stack's secrets, say.
  server: { fs: { allow: ['.', '../../packages/contract/src'] } },
})
