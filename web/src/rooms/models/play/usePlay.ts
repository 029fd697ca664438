/** Drives one call at a time: at once, in pieces, or as a job. What came is one of five states. */
import { onScopeDispose, ref, type Ref } from 'vue'

import { heard, ok, api, type Schemas } from '@/api/client'
import { eventsIn } from '@/api/events'
import { ask } from '@/api/place'
import { ApiError, refusalOf, unreachable } from '@/api/errors'
import { asApiError } from '@/state/remote'
import { useStream } from '@/state/stream'

import type { Ready } from './call'

export type Job = Schemas['JobView']
export interface Answer {
  value: unknown
  /** Of an answer that is a file: an address that holds as long as it is shown. */
  file: { kind: string; source: string; blob: Blob } | null
  ms: number
  version: string
  /** Which made it; empty for a call that was none. */
  job: string
}
export type Play =
  | { state: 'idle' }
  | { state: 'running'; slow: boolean; pieces: unknown[]; job: Job | null }
  | { state: 'failed'; error: ApiError }
  | { state: 'stopped' }
  | { state: 'answered'; answer: Answer }

const SLOW_MS = 1500

export function usePlay() {
  const play: Ref<Play> = ref({ state: 'idle' })
  const events = ref<string | null>(null)
  let abort = new AbortController()
  let began = 0
  let made = ''

  useStream(
    events,
    {
      progress: (data) => going((now) => (now.job = data as Job)),
      partial: (data) => going((now) => now.pieces.push((data as { piece: unknown }).piece)),
      done: (data) => void finish(data as Job),
      error: (data) => {
        events.value = null
        const told = (data as Job).error as { code?: string; message?: string; hint?: string } | null
        const said = told?.message ?? (data as Job).reason ?? ''
        play.value = { state: 'failed', error: new ApiError(0, told?.code ?? 'job', said, told?.hint ?? '', (data as Job).id) }
      },
    },
    ['done', 'error'],
  )

  function going(change: (now: Extract<Play, { state: 'running' }>) => void): void {
    if (play.value.state === 'running') change(play.value)
  }

  async function run(ready: Ready, isJob: boolean): Promise<void> {
    clear()
    began = performance.now()
    abort = new AbortController()
    const mine = abort
    play.value = { state: 'running', slow: false, pieces: [], job: null }
    const slow = setTimeout(() => going((now) => (now.slow = true)), SLOW_MS)
    try {
      const { path, headers, body } = ready
      const response = await ask(path, { method: 'POST', headers, body, signal: mine.signal })
      heard(response)
      if (!response.ok) throw refusalOf(response, await response.json().catch(() => null))
      if (isJob) follow((await response.json()) as Job)
      else await take(response)
    } catch (error) {
      if (mine.signal.aborted) return
      play.value = { state: 'failed', error: error instanceof TypeError ? unreachable() : asApiError(error) }
    } finally {
      clearTimeout(slow)
    }
  }

  function follow(job: Job): void {
    going((now) => (now.job = job))
    events.value = `/api/v1/jobs/${job.id}/events`
  }

  async function finish(job: Job): Promise<void> {
    events.value = null
    try {
      const response = await ask(`/api/v1/jobs/${job.id}/result`, { signal: abort.signal })
      if (!response.ok) throw refusalOf(response, await response.json().catch(() => null))
      await take(response, job.version, job.id)
    } catch (error) {
      if (!abort.signal.aborted) play.value = { state: 'failed', error: asApiError(error) }
    }
  }

  async function take(response: Response, version = response.headers.get('x-fairlead-version') ?? '', job = ''): Promise<void> {
    const kind = response.headers.get('content-type') ?? ''
    const done = (value: unknown, file: Answer['file'] = null): void => {
      play.value = { state: 'answered', answer: { value, file, ms: performance.now() - began, version, job } }
    }
    if (kind.startsWith('text/event-stream')) return done(await inPieces(response))
    if (kind.startsWith('application/json')) return done(await response.json())
    if (kind.startsWith('text/')) return done(await response.text())
    const blob = await response.blob()
    made = URL.createObjectURL(blob)
    done(null, { kind, source: made, blob })
  }

  async function inPieces(response: Response): Promise<unknown[]> {
    const pieces: unknown[] = []
    for await (const { name, data } of eventsIn(response)) {
      if (name === 'error') throw refusalOf(response, data)
      if (name === 'done') break
      pieces.push(data)
      going((now) => now.pieces.push(data))
    }
    return pieces
  }

  async function stop(): Promise<void> {
    const job = play.value.state === 'running' ? play.value.job : null
    clear()
    play.value = { state: 'stopped' }
    if (job) await ok(api.DELETE('/api/v1/jobs/{job}', { params: { path: { job: job.id } } })).catch(() => undefined)
  }

  function clear(): void {
    abort.abort()
    events.value = null
    if (made) URL.revokeObjectURL(made)
    made = ''
    play.value = { state: 'idle' }
  }

  onScopeDispose(clear)
  return { play, run, stop, clear }
}
