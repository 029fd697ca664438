/** The journal of the platform: what changed there is asked for again here, wherever it is shown. */
import { type QueryKey, useQueryClient } from '@tanstack/vue-query'
import { onScopeDispose, ref } from 'vue'

import { useStream } from './stream'

/**
 * Which queries a kind of event changes. Commands and devices are not here: thousands of them move at once, and those in
 * sight are followed by a stream of their own.
 */
const CHANGES: Record<string, QueryKey[]> = {
  alias: [['models'], ['apps']],
  app_version: [['apps']],
  gallery: [['gallery']],
  job: [['jobs']],
  mail: [['mail']],
  model: [['objectives']],
  location: [['devices', 'places'], ['locations']],
  run: [['runs'], ['schedules']],
  schedule: [['schedules']],
  token: [['tokens']],
  type: [['devices', 'types'], ['types']],
  user: [['users']],
  version: [['models']],
}
/** So long it is waited for more of the same: a deploy is a dozen events. */
const TOGETHER_MS = 1500

/** Follows the journal while the page is looked at. */
export function useJournal(): void {
  const cache = useQueryClient()
  const changed = new Map<string, QueryKey>()
  let timer: ReturnType<typeof setTimeout> | undefined

  function flush(): void {
    timer = undefined
    for (const queryKey of changed.values()) void cache.invalidateQueries({ queryKey })
    changed.clear()
  }

  const listeners = Object.entries(CHANGES).map(([kind, keys]) => [
    kind,
    (event: unknown) => {
      for (const key of keys) changed.set(key.join('/'), key)
      // what somebody did is in the audit too
      if ((event as { by?: string | null }).by) changed.set('audit', ['audit'])
      timer ??= setTimeout(flush, TOGETHER_MS)
    },
  ])
  useStream(ref('/api/v1/events'), Object.fromEntries(listeners))
  onScopeDispose(() => clearTimeout(timer))
}
