import tailwind from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [react(), tailwind()],
  build: { target: 'es2023' },
  // Found while the server starts, which spares the first visitor a reload.
  optimizeDeps: { entries: ['src/main.tsx'] },
  // Vite would serve any file of the workspace in development: the embedded stack's secrets, say.
  server: { fs: { allow: ['.', '../../packages/contract/src'] } },
})
