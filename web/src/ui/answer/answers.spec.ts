import { expect, it } from 'vitest'

import { blockOf } from './answers'
import { inWords } from './words'

it('names become words', () => {
  expect([inWords('inputFile'), inWords('comfort_c'), inWords('x')]).toEqual(['Input file', 'Comfort c', 'X'])
})

it.each([
  [true, { kind: 'yesno', value: true }],
  [3.5, { kind: 'number', value: 3.5 }],
  ['hello', { kind: 'text', text: 'hello' }],
  ['#ff8800', { kind: 'color', value: '#ff8800' }],
  ['data:image/png;base64,AA==', { kind: 'picture' }],
  ['data:audio/wav;base64,AA==', { kind: 'sound' }],
  [null, { kind: 'nothing' }],
  [{ late: true, probability: 0.56 }, { kind: 'class', label: 'Late: yes', bars: [{ name: 'Probability', ratio: 0.56 }] }],
  [
    { prediction: 'setosa', probability: { virginica: 0.1, setosa: 0.9 } },
    { kind: 'class', label: 'setosa', bars: [{ name: 'setosa', ratio: 0.9 }, { name: 'virginica', ratio: 0.1 }] },
  ],
  [
    [{ label: 'cat', score: 0.2 }, { label: 'dog', score: 0.8 }],
    { kind: 'class', label: 'dog', bars: [{ name: 'dog', ratio: 0.8 }, { name: 'cat', ratio: 0.2 }] },
  ],
  [[{ a: 1, b: 'x' }, { a: 2 }], { kind: 'table', columns: ['a', 'b'], rows: [[1, 'x'], [2, undefined]] }],
  [[[1, 2], [3, 4]], { kind: 'table', columns: ['1', '2'], rows: [[1, 2], [3, 4]] }],
  [[1, 'a', {}], { kind: 'json', value: [1, 'a', {}] }],
  [{ probability: 7 }, { kind: 'parts', parts: [{ name: 'Probability', block: { kind: 'number', value: 7 } }] }],
])('%j is shown as what it is', (value, expected) => {
  expect(blockOf(value)).toMatchObject(expected)
})

it.each([
  [{ faces: [{ name: 'ada', box: [1, 2, 30, 40] }] }, [{ label: 'ada', at: [1, 2, 30, 40] }]],
  [{ found: [{ label: 'cat', score: 0.914, box: { xmin: 1, ymin: 2, xmax: 3, ymax: 4 } }] }, [{ label: 'cat 91 %', at: [1, 2, 3, 4] }]],
  [{ found: [{ label: 'cat', bbox: { x: 1, y: 2, width: 10, height: 20 } }] }, [{ label: 'cat', at: [1, 2, 11, 22] }]],
])('boxes of %j are drawn on the picture that was sent', (value, boxes) => {
  expect(blockOf(value, true)).toMatchObject({ kind: 'parts', parts: [{ name: '', block: { kind: 'boxes', boxes } }, {}] })
  expect(JSON.stringify(blockOf(value, false))).not.toContain('"boxes"')
})

it('boxes that are drawn are not told as figures too', () => {
  const faces = [{ name: 'ada', distance: 0.3, box: [1, 2, 3, 4] }, { name: 'unknown', distance: 0.8, box: [5, 6, 7, 8] }]
  const table = { kind: 'table', columns: ['name', 'distance'], rows: [['ada', 0.3], ['unknown', 0.8]] }
  expect(blockOf({ faces }, true)).toMatchObject({ parts: [{ block: { kind: 'boxes' } }, { name: 'Faces', block: table }] })
  expect(blockOf({ faces })).toMatchObject({ parts: [{ block: { columns: ['name', 'distance', 'box'] } }] })
})

it('what goes on too deep is shown as JSON', () => {
  let deep: unknown = 'end'
  for (let level = 0; level < 12; level++) deep = { level: deep }
  expect(JSON.stringify(blockOf(deep))).toContain('"kind":"json"')
})
