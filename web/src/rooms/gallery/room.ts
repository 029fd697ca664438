import { Images } from '@lucide/vue'

import type { Room } from '@/rooms/room'
import { gallery } from '@/texts/gallery'

export default {
  nav: [{ label: gallery.nav, to: '/gallery', icon: Images, order: 20, verb: 'call_models' }],
  routes: [
    { path: '/gallery', component: () => import('./GalleryScreen.vue'), meta: { title: gallery.title } },
    {
      path: '/gallery/:id',
      component: () => import('./EntryScreen.vue'),
      props: true,
      meta: { title: gallery.title, open: true },
    },
  ],
} satisfies Room
