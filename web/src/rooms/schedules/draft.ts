/** A schedule as somebody fills it in, and what the platform is sent of it. Pure. */
import { wizard as texts } from '@/texts/wizard'

import type { Schedule, ScheduleBody } from './queries'
import { type Day, DAYS } from './wall'

export type Kind = keyof typeof texts.kinds
export type Unit = keyof typeof texts.units
export interface Length {
  count: number | ''
  unit: Unit
}
export interface TimeRow {
  days: Day[]
  from: string
  to: string
}
export interface Draft {
  app: string
  at: string
  name: string
  /** Empty: that of the place. */
  zone: string
  kind: Kind
  windows: TimeRow[]
  /** Of `once`. */
  day: string
  every: Length
  lasts: Length
  cron: string
  start: string
  end: string
  except: string[]
  overlap: string
  catch_up: string
  dst: { gap: string; overlap: string; length: string }
  params: Record<string, unknown>
  bind: Record<string, string[]>
  notify: string
}

const SECONDS: Record<Unit, number> = { s: 1, m: 60, h: 3_600, d: 86_400 }
const WORKDAYS: Day[] = ['mon', 'tue', 'wed', 'thu', 'fri']

export function emptyDraft(app = '', at = ''): Draft {
  return {
    app,
    at,
    name: '',
    zone: '',
    kind: 'weekly',
    windows: [{ days: [...WORKDAYS], from: '08:00', to: '18:00' }],
    day: '',
    every: { count: 1, unit: 'h' },
    lasts: { count: 10, unit: 'm' },
    cron: '',
    start: '',
    end: '',
    except: [],
    overlap: 'skip',
    catch_up: 'while_open',
    dst: { gap: 'shift', overlap: 'first', length: 'wall' },
    params: {},
    bind: {},
    notify: '',
  }
}

/** Whether the form can say what it says: what began by a moment, not by a day and times, it cannot. */
export function isEditable(one: Schedule): boolean {
  return one.once === null && one.removed_at === null
}

export function draftOf(one: Schedule): Draft {
  const blank = emptyDraft(one.app, one.at)
  const isOnce = one.windows.length > 0 && one.start !== null && one.start === one.end
  const windows = one.windows.map((row) => ({ days: DAYS.filter((day) => row.days.includes(day)), from: short(row.from), to: short(row.to) }))
  return {
    ...blank,
    name: one.name,
    zone: one.zone,
    kind: one.cron ? 'cron' : one.every_s ? 'every' : isOnce ? 'once' : 'weekly',
    windows: windows.length > 0 ? windows : blank.windows,
    day: isOnce ? (one.start ?? '') : '',
    every: one.every_s ? lengthOf(one.every_s) : blank.every,
    lasts: one.for_s ? lengthOf(one.for_s) : blank.lasts,
    cron: one.cron ?? '',
    start: isOnce ? '' : (one.start ?? ''),
    end: isOnce ? '' : (one.end ?? ''),
    except: [...one.except],
    overlap: one.overlap,
    catch_up: one.catch_up,
    dst: { ...one.dst },
    params: { ...one.params },
    bind: { ...one.bind },
    notify: one.notify.join(', '),
  }
}

/** `24:00` is no time that a browser's field can hold; midnight of the next day is the same. */
function short(time: string): string {
  return time === '24:00' ? '00:00' : time.slice(0, 5)
}

export function lengthOf(seconds: number): Length {
  const unit = (['d', 'h', 'm'] as const).find((one) => seconds % SECONDS[one] === 0) ?? 's'
  return { count: seconds / SECONDS[unit], unit }
}

export function secondsOf(length: Length): number {
  return Number(length.count) * SECONDS[length.unit]
}

/** Returns what is missing or wrong, by field; the rest the platform tells in its preview. */
export function wrongWith(draft: Draft): Record<string, string> {
  const wrong: Record<string, string> = {}
  if (draft.kind === 'weekly' || draft.kind === 'once') {
    draft.windows.forEach((row, at) => {
      if (draft.kind === 'weekly' && row.days.length === 0) wrong[`windows.${at}.days`] = texts.daysNeeded
      if (!row.from) wrong[`windows.${at}.from`] = texts.needed
      if (!row.to) wrong[`windows.${at}.to`] = texts.needed
    })
    if (draft.windows.length === 0) wrong.windows = texts.timesNeeded
    if (draft.kind === 'once' && !draft.day) wrong.day = texts.dayNeeded
  } else {
    if (!(secondsOf(draft.lasts) > 0)) wrong.for_s = texts.countNeeded
    if (draft.kind === 'every' && !(secondsOf(draft.every) > 0)) wrong.every_s = texts.countNeeded
    if (draft.kind === 'cron' && draft.cron.trim().split(/\s+/).length !== 5) wrong.cron = texts.cronNeeded
  }
  if (draft.kind !== 'once' && draft.start && draft.end && draft.end < draft.start) wrong.end = texts.endEarly
  return wrong
}

/** Returns the part that says when; nothing of it while it is not whole. */
function whenOf(draft: Draft): Partial<ScheduleBody> {
  const { kind } = draft
  const bounds = { start: draft.start || null, end: draft.end || null }
  const for_s = secondsOf(draft.lasts)
  if (kind === 'cron') return { cron: draft.cron.trim().split(/\s+/).join(' '), for_s, ...bounds }
  if (kind === 'every') return { every_s: secondsOf(draft.every), for_s, ...bounds }
  const windows = draft.windows.map((row) => ({ from: row.from, to: row.to, days: kind === 'once' ? [...DAYS] : row.days }))
  return kind === 'once' ? { windows, start: draft.day, end: draft.day } : { windows, ...bounds }
}

export function addressesOf(text: string): string[] {
  return text.split(/[\s,;]+/).filter(Boolean)
}

/** Returns what is sent; without `timed` a preview of the devices alone. */
export function bodyOf(draft: Draft, timed = true): ScheduleBody {
  return {
    app: draft.app,
    at: draft.at.trim(),
    name: draft.name.trim() || null,
    zone: draft.zone.trim() || null,
    ...(timed ? whenOf(draft) : {}),
    except: draft.kind === 'once' ? [] : draft.except,
    dst: { ...draft.dst },
    overlap: draft.overlap,
    catch_up: draft.catch_up,
    params: draft.params,
    bind: Object.fromEntries(Object.entries(draft.bind).filter(([, devices]) => devices.length > 0)),
    notify: addressesOf(draft.notify),
    now: false,
    dry_run: false,
    show: 10,
  }
}

/** Returns what would make the same schedule once more. */
export function copyOf(one: Schedule): ScheduleBody {
  return {
    app: one.app,
    at: one.at,
    name: null,
    zone: one.zone,
    windows: one.windows.map((row) => ({ days: row.days, from: row.from, to: row.to })),
    cron: one.cron,
    every_s: one.every_s,
    for_s: one.for_s,
    once_from: one.once?.from ?? null,
    once_to: one.once?.to ?? null,
    start: one.start,
    end: one.end,
    except: one.except,
    dst: one.dst,
    overlap: one.overlap,
    catch_up: one.catch_up,
    params: one.params,
    bind: one.bind,
    notify: [],
    now: false,
    dry_run: false,
    show: 10,
  }
}
