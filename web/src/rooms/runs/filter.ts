/** Which runs fit a wish. Pure. */
import type { RunStatus } from '@/api/words'
import type { Run } from '@/ui/runs'

export interface Wish {
  text: string
  app: string
  /** A status, `live` for all that are not over, or nothing. */
  status: RunStatus | 'live' | ''
}

export const NO_WISH: Wish = { text: '', app: '', status: '' }

/** Returns those with all the words, in the order that they came in. */
export function chosen(runs: readonly Run[], wish: Wish): Run[] {
  const words = wish.text.toLowerCase().split(/\s+/).filter(Boolean)
  return runs.filter((run) => {
    if (wish.status && wish.status !== 'live' && run.status !== wish.status) return false
    const said = [run.app, run.schedule, run.at, run.id, run.user, run.reason, ...Object.values(run.bindings).flat()]
    const all = said.join(' ').toLowerCase()
    return words.every((word) => all.includes(word))
  })
}
