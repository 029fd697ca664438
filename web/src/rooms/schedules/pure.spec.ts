import { describe, expect, it } from 'vitest'

import { inWeek, itemsOf, itemsOfPreview, wallItem } from './calendar/items'
import { bodyOf, draftOf, emptyDraft, isEditable, lengthOf, wrongWith } from './draft'
import { chosen } from './list/filter'
import { readParam } from './params'
import { schedule } from '@/test/schedules'
import { addDays, mondayOf, spanText, wallOf } from './wall'
import { daysText, lengthText, whenText } from './words'

const NOW = Date.parse('2026-11-22T08:00:00Z')

describe('clocks of a zone', () => {
  it('show what they show there, in summer and in winter', () => {
    expect(wallOf('2026-11-23T17:00:00Z', 'Europe/Berlin')).toBe('2026-11-23T18:00:00')
    expect(wallOf('2026-07-01T22:30:00Z', 'Europe/Berlin')).toBe('2026-07-02T00:30:00')
    expect(wallOf('2026-07-01T00:00:00Z', 'UTC')).toBe('2026-07-01T00:00:00')
  })

  it('make weeks that begin on Monday', () => {
    expect(mondayOf('2026-11-22')).toBe('2026-11-16')
    expect(mondayOf('2026-11-23')).toBe('2026-11-23')
    expect(addDays('2026-12-28', 7)).toBe('2027-01-04')
  })

  it('tell a span with its day once', () => {
    const day = ['2026-11-23T08:00:00Z', '2026-11-23T17:00:00Z'] as const
    expect(spanText(...day, 'Europe/Berlin', NOW)).toBe('Mon 23 Nov, 09:00 – 18:00')
    expect(spanText('2026-11-23T17:00:00Z', '2027-01-02T06:00:00Z', 'UTC', NOW)).toBe('Mon 23 Nov, 17:00 – Sat 2 Jan 2027, 06:00')
    expect(spanText(day[0], null, 'UTC', NOW)).toBe('Mon 23 Nov, 08:00 – until it is stopped')
  })
})

describe('when a schedule runs, in words', () => {
  it.each([
    [{}, 'Mon–Fri 18:00–07:00'],
    [{ windows: [{ days: ['mon'], from: '08:00', to: '09:00' }, { days: ['mon'], from: '10:00', to: '11:00' }] }, 'Mon 08:00–09:00 and 10:00–11:00'],
    [{ start: '2026-12-24', end: '2026-12-24' }, 'once, Thu 24 Dec, 18:00–07:00'],
    [{ end: '2026-12-24', except: ['2026-12-01'] }, 'Mon–Fri 18:00–07:00, until Thu 24 Dec, not on 1 day'],
    [{ windows: [], cron: '0 8 * * *', for_s: 5400 }, 'cron 0 8 * * * for 1 h 30 min'],
    [{ windows: [], every_s: 3600, for_s: 60, start: '2026-11-22' }, 'every 1 h for 1 min'],
  ])('%#', (more, said) => expect(whenText(schedule(more), NOW)).toBe(said))

  it('names days and lengths shortly', () => {
    expect(daysText(['sun', 'sat'])).toBe('Sat, Sun')
    expect(daysText(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'])).toBe('daily')
    expect(lengthText(90_061)).toBe('1 d 1 h 1 min 1 s')
  })
})

describe('a draft', () => {
  it('says what the schedule said that it was made of', () => {
    const one = schedule({ windows: [{ days: ['fri', 'mon'], from: '00:00', to: '24:00' }], except: ['2026-12-24'], notify: ['a@example.org', 'b@example.org'] })
    const body = bodyOf(draftOf(one))
    expect(body).toMatchObject({ app: 'mood', name: 'night', zone: 'Europe/Berlin', except: ['2026-12-24'], notify: one.notify })
    expect(body.windows).toEqual([{ days: ['mon', 'fri'], from: '00:00', to: '00:00' }])
  })

  it('of one day is one of all days with the same first and last', () => {
    const draft = { ...emptyDraft('mood', 'lab'), kind: 'once' as const, day: '2026-12-24', start: '2026-01-01' }
    expect(bodyOf(draft)).toMatchObject({ start: '2026-12-24', end: '2026-12-24', windows: [{ from: '08:00', to: '18:00' }] })
    expect(draftOf(schedule({ start: '2026-12-24', end: '2026-12-24' }))).toMatchObject({ kind: 'once', day: '2026-12-24', start: '' })
  })

  it('of every so often sends seconds, and no times of a day', () => {
    const draft = { ...emptyDraft('mood', 'lab'), kind: 'every' as const }
    expect(bodyOf(draft)).toMatchObject({ every_s: 3600, for_s: 600 })
    expect(bodyOf(draft).windows).toBeUndefined()
    expect([lengthOf(5400), lengthOf(86_400), lengthOf(90)]).toEqual([{ count: 90, unit: 'm' }, { count: 1, unit: 'd' }, { count: 90, unit: 's' }])
  })

  it('tells what is missing', () => {
    const blank = emptyDraft('mood', 'lab')
    expect(wrongWith(blank)).toEqual({})
    expect(Object.keys(wrongWith({ ...blank, windows: [{ days: [], from: '', to: '08:00' }] }))).toEqual(['windows.0.days', 'windows.0.from'])
    expect(Object.keys(wrongWith({ ...blank, kind: 'once' }))).toEqual(['day'])
    expect(Object.keys(wrongWith({ ...blank, kind: 'cron', cron: '0 8', lasts: { count: '', unit: 'm' } }))).toEqual(['for_s', 'cron'])
    expect(Object.keys(wrongWith({ ...blank, start: '2026-12-02', end: '2026-12-01' }))).toEqual(['end'])
  })

  it('cannot be made of what began by a moment', () => {
    expect(isEditable(schedule())).toBe(true)
    expect(isEditable(schedule({ windows: [], once: { from: '2026-11-22T08:00:00Z', to: null } }))).toBe(false)
  })
})

describe('the week', () => {
  const ahead = { schedule: 'night', app: 'mood', at: 'lab', zone: 'UTC', from: '2026-11-23T18:00:00Z', to: '2026-11-24T06:00:00Z', skipped: null, note: null, paused: null }
  const firing = { from: '2026-11-23T20:00:00Z', to: null, skipped: null, note: null, conflicts: ['night'] }

  it('has what lies in it as clocks of the zone show it', () => {
    const items = itemsOf([ahead, { ...ahead, schedule: 'old', from: '2026-11-22T10:00:00Z', to: '2026-11-22T11:00:00Z' }])
    expect(inWeek(items, '2026-11-23', 'UTC').map((one) => one.title)).toEqual(['night'])
    expect(inWeek(items, '2026-11-16', 'UTC').map((one) => one.title)).toEqual(['old'])
    expect(itemsOf([ahead], 'night')).toEqual([])
  })

  it('marks what is in the way, what is paused, and what goes on', () => {
    const [mine] = itemsOfPreview([firing], 'mine', 'lab')
    expect(mine).toMatchObject({ tone: 'clash', said: 'wants the same devices: night' })
    expect(itemsOf([{ ...ahead, paused: 'holidays' }])[0]).toMatchObject({ tone: 'off', said: 'paused: holidays' })
    expect(mine && wallItem(mine, '2026-11-23', 'UTC').end).toBe('2026-11-30T00:00:00')
  })
})

it('schedules are found by words and state', () => {
  const all = [schedule(), schedule({ name: 'party', state: 'paused', paused: 'Holidays' }), schedule({ name: 'once', state: 'done' })]
  expect(chosen(all, '', 'current').map((one) => one.name)).toEqual(['night', 'party'])
  expect(chosen(all, 'LAB holi', 'all').map((one) => one.name)).toEqual(['party'])
  expect(chosen(all, '', 'done').map((one) => one.name)).toEqual(['once'])
})

it('parameters are read as what the app takes', () => {
  expect(readParam({ type: 'integer' }, '7')).toEqual({ value: 7, isWrong: false })
  expect(readParam({ type: 'string' }, '7')).toEqual({ value: '7', isWrong: false })
  expect(readParam({ enum: ['on', 'off'] }, 'on')).toEqual({ value: 'on', isWrong: false })
  expect(readParam({ type: 'object' }, '{')).toEqual({ isWrong: true })
  expect(readParam({ type: 'number' }, '').value).toBeUndefined()
})
