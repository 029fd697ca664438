/** What a run's status looks like. */
import type { RunStatus } from '@/api/words'

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

export function toneOf(status: string): Tone {
  return TONES[status as RunStatus] ?? 'plain'
}

/** Whether somebody can open its page now. */
export function isOpen(run: { status: string; url: string | null }): run is { status: string; url: string } {
  return run.url !== null && run.status === 'ready'
}
