/** Moments as clocks of a zone show them, and days as such. Pure. */
import { week } from '@/texts/schedules'

export type Day = keyof typeof week.days
export const DAYS = Object.keys(week.days) as Day[]
const DAY_MS = 86_400_000
const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone)
  if (!format) {
    const parts = { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' } as const
    format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', ...parts })
    formats.set(zone, format)
  }
  return format
}

/** Returns what clocks in `zone` show: `2026-11-23T18:00:00`. */
export function wallOf(iso: string | number, zone: string): string {
  const told = Object.fromEntries(formatOf(zone).formatToParts(new Date(iso)).map((part) => [part.type, part.value]))
  return `${told.year}-${told.month}-${told.day}T${told.hour}:${told.minute}:${told.second}`
}

/** Returns the Monday of the week that `day` (`2026-11-23…`) lies in. */
export function mondayOf(day: string): string {
  const at = Date.parse(`${day.slice(0, 10)}T00:00:00Z`)
  return dayOf(at - ((new Date(at).getUTCDay() + 6) % 7) * DAY_MS)
}

export function addDays(day: string, count: number): string {
  return dayOf(Date.parse(`${day}T00:00:00Z`) + count * DAY_MS)
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

/** Returns `Mon 23 Nov`, and the year unless it is `yearNow`. */
export function dayText(day: string, yearNow: string): string {
  const at = new Date(`${day.slice(0, 10)}T00:00:00Z`)
  const year = day.slice(0, 4) === yearNow ? {} : ({ year: 'numeric' } as const)
  return at.toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short', timeZone: 'UTC', ...year }).replace(',', '')
}

/** Returns `Mon 23 Nov, 18:00 – Tue 24 Nov, 07:00`; the day is said once where it is one. */
export function spanText(from: string, to: string | null, zone: string, now = Date.now()): string {
  const year = wallOf(now, zone).slice(0, 4)
  const opens = wallOf(from, zone)
  const begin = `${dayText(opens, year)}, ${opens.slice(11, 16)}`
  if (to === null) return `${begin} – ${week.open}`
  const closes = wallOf(to, zone)
  const time = closes.slice(11, 16)
  return closes.slice(0, 10) === opens.slice(0, 10) ? `${begin} – ${time}` : `${begin} – ${dayText(closes, year)}, ${time}`
}

export function browserZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'
}

/** Returns whether this browser knows the zone: all else it refuses to show. */
export function knowsZone(zone: string): boolean {
  try {
    formatOf(zone)
    return true
  } catch {
    return false
  }
}
