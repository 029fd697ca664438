/** What a run's status looks like, wherever runs are listed. Pure. */
import type { Schemas } from '@/api/client'
import type { RunStatus } from '@/api/words'

export type Run = Schemas['RunView']
export type Tone = 'good' | 'warn' | 'bad' | 'plain' | 'accent'

const TONES: Record<RunStatus, Tone> = {
  planned: 'plain',
  starting: 'accent',
  ready: 'good',
  stopping: 'accent',
  succeeded: 'plain',
  failed: 'bad',
  canceled: 'plain',
  skipped: 'warn',
}
const OVER: ReadonlySet<string> = new Set<RunStatus>(['succeeded', 'failed', 'canceled', 'skipped'])

export function toneOf(status: string): Tone {
  return TONES[status as RunStatus] ?? 'plain'
}

export function isOver(run: Pick<Run, 'status'>): boolean {
  return OVER.has(run.status)
}

/** Returns how long a run took, or takes until now, in seconds; null where it never started. */
export function lastedS(run: Pick<Run, 'started_at' | 'finished_at'>, nowMs: number): number | null {
  if (!run.started_at) return null
  const end = run.finished_at ? Date.parse(run.finished_at) : nowMs
  return Math.max(0, (end - Date.parse(run.started_at)) / 1000)
}
