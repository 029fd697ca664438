/** Windows as the week calendar shows them. Pure. */
import { week as texts } from '@/texts/schedules'

import type { Ahead, Firing } from '../queries'
import { addDays, spanText, wallOf } from '../wall'

export type ItemTone = keyof typeof texts.tones
export interface WeekItem {
  key: string
  title: string
  from: string
  to: string | null
  tone: ItemTone
  /** What is special about it. */
  said: string
  at: string
}
/** As the calendar's library takes it: times of the wall, without a zone. */
export interface WallItem {
  id: string
  title: string
  start: string
  end: string
  tone: ItemTone
  told: string
}

const LEAST_MS = 15 * 60_000

/** Returns stored schedules' windows, in `tone` where they open; `besides` is not among them. */
export function itemsOf(ahead: readonly Ahead[], besides = '', tone: ItemTone = 'other'): WeekItem[] {
  return ahead
    .filter((one) => one.schedule !== besides && one.from !== null)
    .map((one) => ({
      key: `${one.schedule} ${one.from}`,
      title: one.schedule,
      from: one.from as string,
      to: one.to,
      tone: one.paused !== null || one.skipped !== null ? 'off' : tone,
      said: [one.paused === null ? '' : texts.paused(one.paused), one.skipped ? texts.skipped(one.skipped) : '', one.note ?? ''].filter(Boolean).join('; '),
      at: one.at,
    }))
}

/** Returns the windows of a preview. */
export function itemsOfPreview(firings: readonly Firing[], title: string, at: string): WeekItem[] {
  return firings
    .filter((one) => one.from !== null)
    .map((one) => ({
      key: `own ${one.from}`,
      title,
      from: one.from as string,
      to: one.to,
      tone: one.skipped ? 'off' : one.conflicts.length > 0 ? 'clash' : 'own',
      said: noteOf(one),
      at,
    }))
}

export function noteOf(one: Firing): string {
  const clash = one.conflicts.length > 0 ? texts.conflict(one.conflicts.join(', ')) : ''
  return [one.skipped ? texts.skipped(one.skipped) : '', one.note ?? '', clash].filter(Boolean).join('; ')
}

/** Returns those that lie in the week from `monday` on as clocks in `zone` show them, in their order. */
export function inWeek(items: readonly WeekItem[], monday: string, zone: string): WeekItem[] {
  const end = addDays(monday, 7)
  return items
    .filter((one) => wallOf(one.from, zone) < end && (one.to === null || wallOf(one.to, zone) > monday))
    .sort((one, other) => one.from.localeCompare(other.from))
}

export function wallItem(one: WeekItem, monday: string, zone: string): WallItem {
  const start = wallOf(one.from, zone)
  const end = one.to === null ? `${addDays(monday, 7)}T00:00:00` : wallOf(one.to, zone)
  const least = new Date(Date.parse(`${start}Z`) + LEAST_MS).toISOString().slice(0, 19)
  const told = [one.title, spanText(one.from, one.to, zone), one.at, one.said].filter(Boolean).join(', ')
  return { id: one.key, title: one.title, start, end: end > least ? end : least, tone: one.tone, told }
}
