import { History } from '@lucide/vue'

import type { Room } from '@/rooms/room'
import { runs } from '@/texts/runs'

export default {
  nav: [{ label: runs.nav, to: '/runs', icon: History, order: 60, verb: 'see_devices' }],
  routes: [
    { path: '/runs', component: () => import('./RunsScreen.vue'), meta: { title: runs.title } },
    {
      path: '/runs/:id/:tab?',
      component: () => import('./RunScreen.vue'),
      props: true,
      meta: { title: runs.title },
    },
  ],
} satisfies Room
