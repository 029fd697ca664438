import { CalendarClock } from '@lucide/vue'

import type { Room } from '@/rooms/room'
import { apps } from '@/texts/apps'

export default {
  nav: [{ label: apps.nav, to: '/apps', icon: CalendarClock, order: 40, verb: 'see_devices' }],
  routes: [
    { path: '/apps', component: () => import('./AppsScreen.vue'), meta: { title: apps.title } },
    {
      path: '/apps/:name/:tab?',
      component: () => import('./AppScreen.vue'),
      props: true,
      meta: { title: (to) => String(to.params.name) },
    },
  ],
} satisfies Room
