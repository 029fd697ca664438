import { Boxes } from '@lucide/vue'

import type { Room } from '@/rooms/room'
import { models } from '@/texts/models'

export default {
  nav: [{ label: models.nav, to: '/models', icon: Boxes, order: 10, verb: 'call_models' }],
  routes: [
    { path: '/models', component: () => import('./ModelsScreen.vue'), meta: { title: models.title } },
    {
      path: '/models/:name/:tab?',
      component: () => import('./ModelScreen.vue'),
      props: true,
      meta: { title: (to) => String(to.params.name) },
    },
  ],
} satisfies Room
