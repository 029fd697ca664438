/** Values of devices in words. Pure. */
import type { DeviceStatus } from '@/api/words'
import { devices as texts } from '@/texts/devices'
import { figure } from '@/texts/moments'

import type { Device, DeviceType } from './queries'

export interface Schema {
  type?: string
  title?: string
  description?: string
  unit?: string
  access?: string
  enum?: unknown[]
  minimum?: number
  maximum?: number
  maxLength?: number
  pattern?: string
  contentMediaType?: string
  safe?: unknown
  moves?: Record<string, number>
  fresh_s?: number
  senses?: string
  keep_days?: number
}
export type Tone = 'good' | 'warn' | 'bad' | 'plain' | 'accent'

const TONES: Record<DeviceStatus, Tone> = { provisioned: 'plain', online: 'good', stale: 'warn', offline: 'bad', retired: 'plain' }
const LONG = 40

export function toneOf(status: string): Tone {
  return TONES[status as DeviceStatus] ?? 'plain'
}

/** Returns a value as people read it: `on`, `21.5 °C`, a text as it is. */
export function inWords(value: unknown, schema: Schema = {}): string {
  if (value === null || value === undefined) return '–'
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  if (typeof value === 'number') return schema.unit ? `${figure(value)} ${schema.unit}` : figure(value)
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text === '' ? '“”' : text
}

/** Returns the values of a device in few words, for a row of a list. */
export function summary(device: Device, type: DeviceType | undefined): string {
  // whether it is on goes first, then what it measured: what it was set to follows from that
  const rank = (name: string): number => (name === 'on' ? 0 : schemaOf(type, name).access === 'r' ? 1 : 2)
  const values = Object.entries(device.values).sort(([one], [other]) => rank(one) - rank(other))
  const said = values.map(([name, one]) => {
    if (one.url) return mediaWord(one.content_type)
    const text = inWords(one.value, schemaOf(type, name))
    const cut = text.length > LONG ? `${text.slice(0, LONG)}…` : text
    return name === device.type || name === 'on' ? cut : `${name} ${cut}`
  })
  return said.join(' · ')
}

export function schemaOf(type: DeviceType | undefined, name: string): Schema {
  return (type?.properties[name] ?? type?.events[name] ?? {}) as Schema
}

export function writable(type: DeviceType): [string, Schema][] {
  return Object.entries(type.properties as Record<string, Schema>).filter(([, one]) => one.access?.includes('w') && !one.contentMediaType)
}

export function readable(type: DeviceType): [string, Schema][] {
  return Object.entries(type.properties as Record<string, Schema>).filter(([, one]) => one.access !== 'w')
}

function mediaWord(kind: string | null | undefined): string {
  if (kind?.startsWith('image/')) return texts.picture
  return kind?.startsWith('audio/') ? texts.sound : texts.file
}
