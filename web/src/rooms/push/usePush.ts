/** One push: sent, checked, prepared, ready or not. It is a state at a time, and the screen shows that. */
import { useQueryClient } from '@tanstack/vue-query'
import { computed, onScopeDispose, ref, type Ref } from 'vue'

import type { Schemas } from '@/api/client'
import type { ApiError } from '@/api/errors'
import { asApiError } from '@/state/remote'
import { useStream } from '@/state/stream'
import { type Upload, upload } from '@/state/upload'

import { check } from './file'
import { unwrapped } from './unwrap'

type Pushed = Schemas['PushView']
type Version = Schemas['VersionView']

export interface Step {
  atMs: number
  said: string
}
export type Push =
  | { state: 'idle' }
  | { state: 'sending'; name: string; size: number; share: number }
  | { state: 'refused'; name: string; error: ApiError }
  | { state: 'following'; pushed: Pushed }
  | { state: 'ready'; pushed: Pushed; version: Version }
  | { state: 'failed'; pushed: Pushed; version: Version }
  | { state: 'away'; pushed: Pushed; message: string; hint: string }

export function usePush(mostBytes: Ref<number | null>) {
  const cache = useQueryClient()
  const push = ref<Push>({ state: 'idle' })
  const steps = ref<Step[]>([])
  let sending: Upload<Pushed> | null = null

  async function begin(file: File, alias: string): Promise<void> {
    if (push.value.state === 'sending') return
    steps.value = []
    try {
      await check(file, mostBytes.value)
      push.value = { state: 'sending', name: file.name, size: file.size, share: 0 }
      const path = `/api/v1/bundles?${new URLSearchParams({ alias })}`
      sending = upload<Pushed>(path, await unwrapped(file), 'application/zip', (share) => {
        if (push.value.state === 'sending') push.value = { ...push.value, share }
      })
      push.value = { state: 'following', pushed: await sending.answer }
    } catch (failed) {
      const isCanceled = failed instanceof DOMException && failed.name === 'AbortError'
      push.value = isCanceled ? { state: 'idle' } : { state: 'refused', name: file.name, error: asApiError(failed) }
    } finally {
      sending = null
    }
  }

  function refuse(name: string, error: unknown): void {
    push.value = { state: 'refused', name, error: asApiError(error) }
  }

  function reset(): void {
    sending?.cancel()
    steps.value = []
    push.value = { state: 'idle' }
  }

  const path = computed(() => {
    if (push.value.state !== 'following') return null
    const { kind, name, version } = push.value.pushed
    return `/api/v1/${kind}s/${name}/versions/${version}/events`
  })

  function note(data: unknown): Version {
    const version = data as Version
    const said = version.said || version.reason
    if (said && steps.value.at(-1)?.said !== said) steps.value.push({ atMs: Date.now(), said })
    return version
  }
  function end(state: 'ready' | 'failed', data: unknown): void {
    const version = state === 'ready' ? note(data) : (data as Version) // why it failed is told beside
    if (push.value.state !== 'following') return
    push.value = { state, pushed: push.value.pushed, version }
    for (const key of ['models', 'apps']) void cache.invalidateQueries({ queryKey: [key] })
  }
  useStream(path, {
    step: note,
    done: (data) => end('ready', data),
    error: (data) => end('failed', data),
    away: (data) => {
      const { message, hint } = data as { message: string; hint: string }
      if (push.value.state === 'following') push.value = { state: 'away', pushed: push.value.pushed, message, hint }
    },
  })
  onScopeDispose(() => sending?.cancel())
  return { push, steps, begin, refuse, reset }
}
