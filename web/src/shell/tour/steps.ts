/** Which three steps somebody is shown: by what they may do, and by what the page has. */
import type { NavEntry } from '@/rooms/room'
import type { Verb } from '@/state/me'
import { push } from '@/texts/push'
import { tour } from '@/texts/tour'

export interface Step {
  title: string
  text: string
  /** Entries of the navigation that it points at. */
  at: string[]
  /** Where it leads, by the words of the places themselves. */
  links: { label: string; to: string }[]
}

/** Returns the steps, in their order; `nav` is what this person's navigation shows. */
export function stepsFor(may: (verb: Verb) => boolean, nav: NavEntry[]): Step[] {
  const texts = tour.steps
  const made = (name: keyof typeof texts, at: string[], more: Step['links'] = []): Step | undefined => {
    const entries = nav.filter((one) => at.includes(one.to))
    if (!entries.length) return undefined
    const links = more.length ? more : entries.map((one) => ({ label: one.label, to: one.to }))
    return { ...texts[name], at: entries.map((one) => one.to), links }
  }
  const pushes = may('push_models') ? '/models' : '/apps'
  const last = [
    may('operate') && made('house', ['/house']),
    (may('push_models') || may('push_apps')) && made('push', [pushes], [{ label: push.title, to: '/push' }]),
    may('manage_devices') && made('register', ['/devices']),
    made('gallery', ['/gallery']),
  ].find(Boolean)
  const home = may('schedule') ? made('home', ['/devices', '/schedules']) : made('devices', ['/devices'])
  return [made('models', ['/models']), home, last].filter((one): one is Step => Boolean(one))
}
