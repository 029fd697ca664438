/** The moment, as far as texts like "2 min ago" need it: one clock for all that look at it. */
import { onScopeDispose, ref, type Ref } from 'vue'

const EVERY_MS = 10_000
const now = ref(Date.now())
let lookers = 0
let timer: ReturnType<typeof setInterval> | undefined

export function useNow(): Ref<number> {
  if (lookers++ === 0) {
    now.value = Date.now()
    timer = setInterval(() => (now.value = Date.now()), EVERY_MS)
  }
  onScopeDispose(() => {
    if (--lookers === 0) clearInterval(timer)
  })
  return now
}
