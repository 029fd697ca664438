import { expect, it } from 'vitest'

import { device, hold, lamp, place } from '@/test/devices'

import { chosen, heldBy, NO_WISH } from './list/filter'
import { above, seen, treeOf } from './list/tree'
import { type Draft, orderOf, wrongWith } from './one/order'
import { linesOf, stepFor } from './one/trend'
import { byLine, passwordsFile, readDevices, trying } from './register/csv'
import { fitted, mediaOf, showsOf } from './simulators/recordings'
import { summary } from './values'

const NOW = Date.parse('2026-11-22T05:00:00Z')
const draft = (more: Partial<Draft>): Draft => ({ ticked: { on: true }, values: { on: true, brightness: 3 }, hold: '600', until: '', because: '', ...more })

it('a tree counts what is below, in the order that people count in', () => {
  const places = ['house-10', 'house-9', 'house-9/a'].map(place)
  const tree = treeOf(places, [device({ at: 'house-9/a' }), device({ at: 'house-9' }), device({ at: 'yard' })])
  expect(tree.map((one) => [one.path, one.devices])).toEqual([['house-9', 2], ['house-10', 0], ['yard', 1]])
  expect(seen(tree, new Set(['house-9'])).map((one) => one.path)).toEqual(['house-9', 'house-9/a', 'house-10', 'yard'])
  expect(above('a/b/c')).toEqual(['a', 'a/b', 'a/b/c'])
})

it('a place takes in what is below it and nothing that merely begins so', () => {
  const all = [device({ id: 'a', at: 'lab' }), device({ id: 'b', at: 'lab/x' }), device({ id: 'c', at: 'lab-2' })]
  expect(chosen(all, { ...NO_WISH, at: 'lab' }).map((one) => one.id)).toEqual(['a', 'b'])
  expect(chosen(all, { ...NO_WISH, text: 'LAB-2' }).map((one) => one.id)).toEqual(['c'])
})

it('who waits holds nothing', () => {
  expect(heldBy(device({ holds: [hold({ holds: false }), hold({ tier: 'app', by: 'run-1' })] }))).toBe('app')
  expect(heldBy(device({ holds: [hold()] }))).toBe('person')
  expect(heldBy(device())).toBe('nobody')
})

it('a row says first whether a device is on', () => {
  const value = (given: unknown) => ({ value: given, at: null, stale: false, content_type: null, url: null })
  expect(summary(device({ values: { brightness: value(50), on: value(true) } }), lamp())).toBe('on · brightness 50 %')
})

it('a command sets what is ticked, until its moment', () => {
  expect(orderOf(draft({ because: ' too dark ' }), NOW)).toEqual({ set: { on: true }, hold_s: 600, because: ['too dark'] })
  const schemas = { on: { type: 'boolean' }, brightness: { type: 'number', minimum: 0, maximum: 100 } }
  expect(wrongWith(draft({ ticked: {} }), schemas, NOW)).toEqual({ set: 'nothing' })
  expect(wrongWith(draft({ hold: 'until', until: '2020-01-01T00:00' }), schemas, NOW)).toEqual({ until: 'moment' })
  expect(wrongWith(draft({ ticked: { brightness: true }, values: { brightness: 101 } }), schemas, NOW)).toEqual({ 'set.brightness': 'at most 100' })
})

it('steps fit the span', () => {
  expect([3600, 21_600, 86_400, 604_800, 34_560_000].map((span) => stepFor(span, 'auto'))).toEqual([null, 60, 900, 3600, 86_400])
  expect(stepFor(86_400, 'raw')).toBeNull()
})

it('of booleans, steps draw how much was true', () => {
  const reading = { at: '1970-01-01T00:01:00Z', value: true, count: 4, first: false, low: null, mean: null, high: null, shares: { true: 0.75 } }
  expect(linesOf([reading], { type: 'boolean' }, true, 'on')[0]?.points).toEqual([[60, 75]])
})

it('a file of devices: quotes, any order of columns, lines by their numbers', () => {
  const { rows, wrong } = readDevices('\uFEFFat,title,id,type\r\nlab,"Above, ""the"" door",d1,lamp\r\n\r\nlab,,,lamp\nlab,x\n')
  expect(rows[0]).toEqual({ line: 2, item: { id: 'd1', type: 'lamp', at: 'lab', title: 'Above, "the" door' } })
  expect(wrong).toEqual([{ line: 4, said: 'has no id' }, { line: 5, said: 'has 2 of 4 columns' }])
  expect(readDevices('id,type\n').wrong[0]?.said).toMatch(/column at/)
  expect(readDevices('id,type,at\n').wrong[0]?.said).toBe('The file has no devices.')
  expect(readDevices('id;type;at\n').wrong).toEqual([{ line: 1, said: 'Columns are separated by ;: save the file with commas, id,type,at.' }])
  expect(readDevices('id,type,at,typ,id\n').wrong.map((one) => one.said)).toEqual(['There is no column typ: only id, type, at and title.', 'The column id is there twice.'])
  expect(readDevices('id,type,at,title\na,lamp,lab,5" screen\na,lamp,lab,"Open\n').wrong).toEqual([
    { line: 3, said: 'a quotation begins here and does not end' },
    { line: 3, said: 'a is in line 2 already' },
  ])
  expect(byLine([{ path: '0.id', rule: 'taken', message: 'taken', hint: 'choose another' }], rows)).toEqual([{ line: 2, said: 'taken; choose another' }])
})

it('own pictures: what a device can show, how large they become, and what a call says of the others', async () => {
  const camera = lamp({ name: 'camera', properties: { image: { type: 'string', contentMediaType: 'image/jpeg' } } })
  expect(showsOf(device({ type: 'camera' }), [camera])).toBe('pictures')
  expect(showsOf(device(), [lamp()])).toBeNull()
  expect(fitted(8_000, 4_000)).toEqual({ width: 1_280, height: 640 })
  expect(await mediaOf({}, { a: 1 })).toBeNull()
  const given = { a: [new Blob(['x'])], b: null }
  expect(await mediaOf(given, { a: 1, b: 2, c: 3 })).toEqual({ a: ['eA=='], c: null })
})

it('passwords as a file, and how a first word is sent', () => {
  const made = device({ password: 'p' })
  expect(passwordsFile([made])).toBe('id,mqtt,password\nlamp-1,mqtt://127.0.0.1:1883,p\n')
  expect(trying(made)).toContain('-h 127.0.0.1 -p 1883 -i lamp-1')
})
