import '@/styles/tokens.css'
import '@/styles/base.css'
import '@/styles/parts.css'

import { VueQueryPlugin } from '@tanstack/vue-query'
import { createApp } from 'vue'

import { findPlatform } from '@/api/client'
import App from '@/App.vue'
import { makeRouter } from '@/router'
import { makeQueryClient } from '@/state/queries'

const app = createApp(App).use(makeRouter()).use(VueQueryPlugin, { queryClient: makeQueryClient() })
void findPlatform().then(() => app.mount('#app'))
