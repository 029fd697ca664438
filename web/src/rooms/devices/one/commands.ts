/** Commands in words. Pure. */
import type { CommandStatus } from '@/api/words'

import type { Command, DeviceType } from '../queries'
import { inWords, schemaOf, type Tone } from '../values'

const TONES: Record<CommandStatus, Tone> = {
  accepted: 'plain',
  sent: 'accent',
  delivered: 'accent',
  applied: 'good',
  observed: 'good',
  failed: 'bad',
}

/** Returns the tone of an end; one that was overtaken by another is no failure that somebody must look at. */
export function toneOfCommand(status: string, cause: string | null = null): Tone {
  return cause === 'superseded' ? 'plain' : (TONES[status as CommandStatus] ?? 'plain')
}

/** Returns what a command sets: `on = off, speed = 2`. */
export function setsOf(command: Command, type: DeviceType): string {
  return Object.entries(command.set)
    .map(([name, value]) => `${name} = ${inWords(value, schemaOf(type, name))}`)
    .join(', ')
}
