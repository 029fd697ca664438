/** Streams and files from a platform elsewhere: neither `EventSource` nor `<img>` can send a token, so they are fetched. */
import type { Directive } from 'vue'

import { eventsIn } from '@/api/events'
import { ask, at, place } from '@/api/place'

/** As much of an `EventSource` as the page uses; who made it opens another after `onerror`. */
export class SignedStream extends EventTarget {
  readyState: number = EventSource.CONNECTING
  onopen: (() => void) | null = null
  onerror: (() => void) | null = null
  readonly #abort = new AbortController()

  constructor(path: string) {
    super()
    void this.#follow(path)
  }

  close(): void {
    this.readyState = EventSource.CLOSED
    this.#abort.abort()
  }

  async #follow(path: string): Promise<void> {
    try {
      const answer = await ask(path, { headers: { accept: 'text/event-stream' }, signal: this.#abort.signal })
      if (answer.ok) {
        this.readyState = EventSource.OPEN
        this.onopen?.()
        for await (const { name, data } of eventsIn(answer)) {
          this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }))
        }
      }
    } catch {
      // it was closed, or broke off
    }
    if (this.readyState === EventSource.CLOSED) return
    this.readyState = EventSource.CLOSED
    this.onerror?.()
  }
}

const made = new WeakMap<Element, { path: string; url: string }>()

/** Shows the platform's file at the path in an `<img>`, `<audio>` or `<video>`: `v-source="path"`. */
export const vSource: Directive<HTMLImageElement | HTMLMediaElement, string> = {
  mounted: (element, { value }) => void show(element, value),
  updated: (element, { value }) => void show(element, value),
  unmounted: (element) => release(element),
}

async function show(element: HTMLImageElement | HTMLMediaElement, path: string): Promise<void> {
  if (made.get(element)?.path === path) return
  release(element)
  const mine = { path, url: '' }
  made.set(element, mine)
  if (!place.base) {
    element.src = at(path)
    return
  }
  try {
    const answer = await ask(path)
    if (!answer.ok) return
    mine.url = URL.createObjectURL(await answer.blob())
    if (made.get(element) === mine) element.src = mine.url
    else URL.revokeObjectURL(mine.url)
  } catch {
    // its description stands in its place
  }
}

function release(element: Element): void {
  const url = made.get(element)?.url
  if (url) URL.revokeObjectURL(url)
  made.delete(element)
}
