/** When a schedule runs, in words. Pure. */
import type { Schedule } from './queries'
import { week } from '@/texts/schedules'

import { type Day, DAYS, dayText, spanText } from './wall'

const UNITS: [number, string][] = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
]
export type Tone = 'good' | 'warn' | 'bad' | 'plain' | 'accent'

export function toneOf(state: string): Tone {
  if (state === 'running') return 'good'
  if (state === 'paused') return 'warn'
  return state === 'waiting' ? 'accent' : 'plain'
}

/** Returns seconds as `1 h 30 min`. */
export function lengthText(seconds: number): string {
  let left = seconds
  const parts: string[] = []
  for (const [size, unit] of UNITS) {
    const count = unit === 's' ? Math.round(left * 1000) / 1000 : Math.floor(left / size)
    if (count > 0) parts.push(`${count} ${unit}`)
    left -= Math.floor(left / size) * size
  }
  return parts.join(' ') || '0 s'
}

/** Returns `Mon–Fri`, `Sat, Sun` or `daily`. */
export function daysText(days: readonly string[]): string {
  const chosen = DAYS.filter((day) => days.includes(day))
  if (chosen.length === DAYS.length) return 'daily'
  const [first, last] = [chosen[0], chosen.at(-1)]
  if (!first || !last) return '–'
  const isRow = chosen.length > 2 && DAYS.indexOf(last) - DAYS.indexOf(first) === chosen.length - 1
  const short = (day: Day): string => week.shortDays[day]
  return isRow ? `${short(first)}–${short(last)}` : chosen.map(short).join(', ')
}

type When = Pick<Schedule, 'windows' | 'cron' | 'every_s' | 'for_s' | 'start' | 'end' | 'except' | 'zone'> & { once: Schedule['once'] | null }

export function whenText(of: When, now = Date.now()): string {
  const year = String(new Date(now).getUTCFullYear())
  const times = of.windows.map((one) => `${one.from}–${one.to}`).join(', ')
  if (of.once?.from) return `once, ${spanText(of.once.from, of.once.to, of.zone, now)}`
  if (of.windows.length > 0 && of.start && of.start === of.end) return `once, ${dayText(of.start, year)}, ${times}`
  const bounds = [
    of.start && !of.every_s ? `from ${dayText(of.start, year)}` : '',
    of.end ? `until ${dayText(of.end, year)}` : '',
    of.except.length > 0 ? `not on ${of.except.length} ${of.except.length === 1 ? 'day' : 'days'}` : '',
  ].filter(Boolean)
  return [base(of), ...bounds].join(', ')
}

function base(of: When): string {
  const lasts = of.for_s ? ` for ${lengthText(of.for_s)}` : ''
  if (of.cron) return `cron ${of.cron}${lasts}`
  if (of.every_s) return `every ${lengthText(of.every_s)}${lasts}`
  const byDays = new Map<string, string[]>()
  for (const one of of.windows) {
    const days = daysText(one.days)
    byDays.set(days, [...(byDays.get(days) ?? []), `${one.from}–${one.to}`])
  }
  return [...byDays].map(([days, times]) => `${days} ${times.join(' and ')}`).join('; ')
}

/** What a run's status looks like. */
export function toneOfRun(status: string): Tone {
  if (status === 'ready') return 'good'
  if (status === 'failed') return 'bad'
  if (status === 'skipped') return 'warn'
  return status === 'starting' || status === 'stopping' ? 'accent' : 'plain'
}
