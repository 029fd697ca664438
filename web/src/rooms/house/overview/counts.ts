/** Counts by status in words. Pure. */
import type { DeviceStatus, JobStatus, RunStatus } from '@/api/words'
import { overview } from '@/texts/house'
import { deviceStates, runStates } from '@/texts/statuses'

const WORDS: Record<string, Record<string, string>> = {
  runs: runStates satisfies Record<RunStatus, string>,
  jobs: overview.jobWords satisfies Record<JobStatus, string>,
  devices: deviceStates satisfies Record<DeviceStatus, string>,
}

/** Returns `3 waiting, 1 failed`, or nothing. */
export function inWords(kind: string, counts: Record<string, number>): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([status, count]) => `${count.toLocaleString('en')} ${WORDS[kind]?.[status] ?? status}`)
    .join(', ')
}
