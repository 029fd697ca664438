import { Cpu } from '@lucide/vue'

import type { Room } from '@/rooms/room'
import { devices, register } from '@/texts/devices'
import { simulators, types } from '@/texts/devicetypes'

export default {
  nav: [{ label: devices.nav, to: '/devices', icon: Cpu, order: 30, verb: 'see_devices' }],
  routes: [
    { path: '/devices', component: () => import('./DevicesScreen.vue'), meta: { title: devices.title } },
    { path: '/devices/register', component: () => import('./RegisterScreen.vue'), meta: { title: register.title } },
    { path: '/devices/types', component: () => import('./TypesScreen.vue'), meta: { title: types.title } },
    {
      path: '/devices/types/:name',
      component: () => import('./TypeScreen.vue'),
      props: true,
      meta: { title: (to) => String(to.params.name) },
    },
    { path: '/devices/simulators', component: () => import('./SimulatorsScreen.vue'), meta: { title: simulators.title } },
    {
      path: '/devices/id/:id/:tab?',
      component: () => import('./DeviceScreen.vue'),
      props: true,
      meta: { title: (to) => String(to.params.id) },
    },
  ],
} satisfies Room
