import type { Room } from '@/rooms/room'
import { push } from '@/texts/push'

export default {
  nav: [],
  routes: [{ path: '/push', component: () => import('./PushScreen.vue'), meta: { title: push.title } }],
} satisfies Room
