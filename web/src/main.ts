import '@/styles/tokens.css'
import '@/styles/base.css'
import '@/styles/parts.css'

import { VueQueryPlugin } from '@tanstack/vue-query'
import { createApp } from 'vue'

import App from '@/App.vue'
import { makeRouter } from '@/router'
import { makeQueryClient } from '@/state/queries'

createApp(App).use(makeRouter()).use(VueQueryPlugin, { queryClient: makeQueryClient() }).mount('#app')
