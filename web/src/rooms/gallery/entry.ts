/** What the page makes of an entry. Pure. */
import { gallery as texts } from '@/texts/gallery'

import type { Entry } from './queries'

export type Kind = keyof typeof texts.kinds

/** Longer ones are not shown but saved. */
export const SHOWN_MAX_BYTES = 1024 ** 2

/** Returns how browsers show it: those that hold no script, as the platform serves them inline. */
export function kindOf(entry: Entry): Kind {
  const type = entry.content_type.split(';')[0] ?? ''
  if (type === 'image/svg+xml') return 'file'
  if (type.startsWith('image/')) return 'picture'
  if (type.startsWith('audio/')) return 'sound'
  if (type.startsWith('video/')) return 'film'
  if (type === 'application/json') return 'json'
  return type.startsWith('text/') ? 'text' : 'file'
}

export function titleOf(entry: Entry): string {
  return entry.title || entry.prompt || `${texts.kinds[kindOf(entry)]}: ${entry.model}`
}

export function altOf(entry: Entry): string {
  return texts.alt(entry.prompt, entry.model)
}

/** Returns what was asked or answered besides, that is not told elsewhere. */
export function othersOf(fields: Record<string, unknown>, told: readonly string[]): [string, unknown][] {
  return Object.entries(fields).filter(([name, value]) => !told.includes(name) && value !== null && value !== '')
}
