import { House } from '@lucide/vue'

import type { Room } from '@/rooms/room'
import { house } from '@/texts/house'

export default {
  nav: [{ label: house.nav, to: '/house', icon: House, order: 90 }],
  routes: [
    {
      path: '/house/jobs/:id',
      component: () => import('./JobScreen.vue'),
      props: true,
      meta: { title: (to) => String(to.params.id) },
    },
    {
      path: '/house/users/:name',
      component: () => import('./PersonScreen.vue'),
      props: true,
      meta: { title: (to) => String(to.params.name) },
    },
    { path: '/house/:tab?', component: () => import('./HouseScreen.vue'), props: true, meta: { title: house.title } },
  ],
} satisfies Room
