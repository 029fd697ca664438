import { createRouter, createWebHistory, type Router, type RouterHistory } from 'vue-router'

import { allRooms } from '@/rooms/room'
import { shell } from '@/texts/shell'

/**
 * Returns the router of all rooms. A screen says its title in `meta.title`: a text, or a function of the route;
 * `meta.open`: who is not signed in may look at it.
 */
export function makeRouter(history: RouterHistory = createWebHistory(import.meta.env.BASE_URL)): Router {
  const router = createRouter({
    history,
    routes: [
      { path: '/', redirect: '/models' },
      ...allRooms().flatMap((room) => room.routes),
      { path: '/:rest(.*)*', component: () => import('@/shell/NotFound.vue'), meta: { title: shell.notFound } },
    ],
    scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? {} : { top: 0 }),
  })
  router.afterEach((to) => {
    const { title } = to.meta
    const said = typeof title === 'function' ? title(to) : title
    document.title = said ? `${said} · ${shell.brand}` : shell.brand
  })
  return router
}
