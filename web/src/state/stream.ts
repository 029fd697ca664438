/** Server-sent events, for as long as a component lives and its tab is looked at. */
import { onScopeDispose, ref, type Ref, watch } from 'vue'

import { at, place } from '@/api/place'

import { SignedStream } from './signed'

const AGAIN_MS = 3000

export type Streaming = 'idle' | 'open' | 'interrupted' | 'ended'
export type Events = Record<string, (data: unknown) => void>

/**
 * Listens at `path` (null: nowhere) and calls the listener of each event's name with its JSON.
 *
 * Closed while the tab is hidden (a browser has six connections to a host for all tabs) and opened again after; a
 * listener that returns `'end'` from `ends` closes it for good. Released with the component.
 */
export function useStream(path: Ref<string | null>, events: Events, ends: readonly string[] = []): Ref<Streaming> {
  const state = ref<Streaming>('idle')
  let source: EventSource | SignedStream | null = null
  let timer: ReturnType<typeof setTimeout> | undefined

  function close(): void {
    clearTimeout(timer)
    source?.close()
    source = null
  }

  function open(): void {
    close()
    if (path.value === null || document.hidden || state.value === 'ended') return
    const opened = place.base ? new SignedStream(path.value) : new EventSource(at(path.value))
    source = opened
    opened.onopen = () => (state.value = 'open')
    opened.onerror = () => {
      if (state.value === 'ended') return
      state.value = 'interrupted'
      // a browser gives up for good on an answer that is no stream; we do not
      if (opened.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN_MS)
    }
    for (const name of new Set([...Object.keys(events), ...ends])) {
      opened.addEventListener(name, (event) => {
        const text = (event as MessageEvent<unknown>).data
        if (typeof text !== 'string') return // the connection's own error event has none
        if (ends.includes(name)) {
          state.value = 'ended'
          close()
        }
        events[name]?.(JSON.parse(text))
      })
    }
  }

  function seen(): void {
    if (document.hidden) close()
    else open()
  }

  document.addEventListener('visibilitychange', seen)
  watch(
    path,
    () => {
      state.value = 'idle'
      open()
    },
    { immediate: true },
  )
  onScopeDispose(() => {
    document.removeEventListener('visibilitychange', seen)
    close()
  })
  return state
}
