import vue from '@vitejs/plugin-vue'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

const DIST = fileURLToPath(new URL('../src/fairlead/web/dist', import.meta.url))
const PLATFORM = process.env.FAIRLEAD_URL ?? 'http://127.0.0.1:8080'

/** Packs each text beside itself: whoever serves it packs nothing. */
function packed(): Plugin {
  return {
    name: 'packed',
    apply: 'build',
    closeBundle() {
      for (const name of readdirSync(DIST, { recursive: true, encoding: 'utf-8' })) {
        if (!/\.(js|css|html|svg|json)$/.test(name)) continue
        const plain = readFileSync(join(DIST, name))
        if (plain.length < 512) continue
        writeFileSync(join(DIST, `${name}.br`), brotliCompressSync(plain))
        writeFileSync(join(DIST, `${name}.gz`), gzipSync(plain, { level: 9 }))
      }
    },
  }
}

export default defineConfig({
  base: '/ui/',
  plugins: [vue(), packed()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  build: {
    outDir: DIST,
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    // `FAIRLEAD_URL=http://127.0.0.1:8080 npm run dev`: the page from here, all else from a platform that runs
    proxy: Object.fromEntries(
      ['/api', '/v1', '/v2', '/sign-in', '/sign-out', '/readyz', '/links'].map((path) => [path, { target: PLATFORM }]),
    ),
  },
})
