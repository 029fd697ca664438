/** What a letter's status looks like. Pure. */
import type { MailStatus } from '@/api/words'

const TONES: Record<MailStatus, 'good' | 'bad' | 'plain'> = { waiting: 'plain', sent: 'good', kept: 'plain', failed: 'bad' }

export const toneOf = (status: string) => TONES[status as MailStatus] ?? 'plain'
