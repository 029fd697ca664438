/** Whether the platform answers. When it does not, it is asked again and again, and all queries once it does. */
import { reactive } from 'vue'

import { at } from '@/api/place'

const AGAIN_MS = 2000

export const connection = reactive({
  away: false,
  lost(): void {
    if (this.away) return
    this.away = true
    setTimeout(look, AGAIN_MS)
  },
  found(): void {
    if (!this.away) return
    this.away = false
    for (const told of returned) told()
  },
})

const returned = new Set<() => void>()

/** Has `told` called each time that the platform answers again. Returns how to stop that. */
export function onReturn(told: () => void): () => void {
  returned.add(told)
  return () => returned.delete(told)
}

async function look(): Promise<void> {
  if (!connection.away) return
  try {
    const answer = await fetch(at('/readyz'), { cache: 'no-store' })
    if (answer.ok) return connection.found()
  } catch {
    // not yet
  }
  setTimeout(look, AGAIN_MS)
}
