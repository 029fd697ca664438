import 'vue-router'
import type { RouteLocationNormalized } from 'vue-router'

declare module 'vue-router' {
  interface RouteMeta {
    /** Who is not signed in may look at it. */
    open?: boolean
    title?: string | ((to: RouteLocationNormalized) => string)
  }
}

interface ImportMetaEnv {
  /** Where the API is, when that is another place than the page's own. */
  readonly VITE_FAIRLEAD_API?: string
}
