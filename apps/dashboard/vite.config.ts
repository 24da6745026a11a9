import tailwind from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [react(), tailwind()],
  build: { target: 'es2023' },
  // Node's own start of the server optimizes these; naming them spares the first visitor a reload.
  optimizeDeps: { entries: ['src/main.tsx'] },
})
