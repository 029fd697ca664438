/** Devices in sight, as they change: rows say that they are in sight, and one stream follows all of them. */
import { computed, inject, type InjectionKey, onScopeDispose, provide, ref, type Ref, shallowReactive } from 'vue'

import { type Streaming, useStream } from '@/state/stream'

import { type Device, livePath } from '../queries'

const MOST = 100
const SETTLE_MS = 250

interface Live {
  now: Map<string, Device>
  enter: (id: string) => void
  leave: (id: string) => void
}
const KEY: InjectionKey<Live> = Symbol('live devices')

/** Follows what the rows below show. Returns how the stream is. */
export function provideLive(): Ref<Streaming> {
  const now = shallowReactive(new Map<string, Device>())
  const inSight = new Set<string>()
  const followed = ref<string[]>([])
  let timer: ReturnType<typeof setTimeout> | undefined

  function settle(): void {
    clearTimeout(timer)
    timer = setTimeout(() => (followed.value = [...inSight].sort().slice(0, MOST)), SETTLE_MS)
  }
  onScopeDispose(() => clearTimeout(timer))
  provide(KEY, {
    now,
    enter: (id) => {
      inSight.add(id)
      settle()
    },
    leave: (id) => {
      inSight.delete(id)
      settle()
    },
  })
  const path = computed(() => (followed.value.length > 0 ? livePath(followed.value) : null))
  return useStream(path, { device: (told) => now.set((told as Device).id, told as Device) })
}

/** Returns a device as it is now; it counts as in sight while the component lives. */
export function useLiveDevice(of: () => Device): Ref<Device> {
  const live = inject(KEY, null)
  const { id } = of()
  live?.enter(id)
  onScopeDispose(() => live?.leave(id))
  return computed(() => live?.now.get(of().id) ?? of())
}
