import { CalendarDays } from '@lucide/vue'

import type { Room } from '@/rooms/room'
import { schedules } from '@/texts/schedules'
import { wizard } from '@/texts/wizard'

export default {
  nav: [{ label: schedules.nav, to: '/schedules', icon: CalendarDays, order: 50, verb: 'see_devices' }],
  routes: [
    { path: '/schedules', component: () => import('./SchedulesScreen.vue'), meta: { title: schedules.title } },
    { path: '/schedules/new', component: () => import('./NewScreen.vue'), meta: { title: wizard.title } },
    {
      path: '/schedules/id/:name',
      component: () => import('./ScheduleScreen.vue'),
      props: true,
      meta: { title: (to) => String(to.params.name) },
    },
    {
      path: '/schedules/id/:name/edit',
      component: () => import('./EditScreen.vue'),
      props: true,
      meta: { title: (to) => wizard.editTitle(String(to.params.name)) },
    },
  ],
} satisfies Room
