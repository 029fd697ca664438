/** What a job's status looks like. Pure. */
import type { JobStatus } from '@/api/words'

const TONES: Record<JobStatus, 'good' | 'bad' | 'plain' | 'accent'> = {
  queued: 'plain',
  running: 'accent',
  succeeded: 'good',
  failed: 'bad',
  canceled: 'plain',
}

export const toneOf = (status: string) => TONES[status as JobStatus] ?? 'plain'
