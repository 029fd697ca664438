import { defineConfig, mergeConfig } from 'vitest/config'

import base from './vite.config'

export default mergeConfig(
  base,
  defineConfig({
    test: {
      environment: 'jsdom',
      globals: true,
      testTimeout: 30_000,
      setupFiles: ['src/test/setup.ts'],
      include: ['src/**/*.spec.ts'],
    },
  }),
)
