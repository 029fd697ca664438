/** The tour: shown once to each person of a browser, on the first screen after signing in, and again when they ask for it. */
import { reactive } from 'vue'

const KEY = 'fairlead.tour'
/** The first screen, where no address led elsewhere. */
const FIRST = '/models'

export const tour = reactive({
  isOpen: false,
  /** Entries of the navigation that the step in view points at. */
  at: [] as string[],

  begin(): void {
    this.isOpen = true
  },

  end(): void {
    this.isOpen = false
    this.at = []
  },
})

/** Shows it to `user` where they begin at the first screen and have not had it; `path` is where they begin. */
export function offerTour(user: string, path: string): void {
  if (path === FIRST && firstTime(user)) tour.begin()
}

/** Whether `user` has not been here with this browser; from now on they have. A browser that keeps nothing is never new. */
function firstTime(user: string): boolean {
  try {
    const key = `${KEY}.${user}`
    if (localStorage.getItem(key) !== null) return false
    localStorage.setItem(key, new Date().toISOString())
    return true
  } catch {
    return false
  }
}
