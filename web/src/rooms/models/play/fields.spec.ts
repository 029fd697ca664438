import { describe, expect, it } from 'vitest'

import { entriesOf, shapeFor, shapesOf, wrongWith, type Field } from './fields'

const of = (schema: object, files: string[] = []): Field => {
  const [shape] = shapesOf({ type: 'object', properties: { it: schema }, required: ['it'] }, files)
  return shape!.fields![0]!
}

describe('a field of a signature', () => {
  it.each([
    [{ type: 'integer', minimum: 1, maximum: 12 }, { kind: 'number', whole: true, least: 1, most: 12, slider: true }],
    [{ type: 'number' }, { kind: 'number', whole: false, slider: false }],
    [{ type: 'integer', minimum: 0, maximum: 2 ** 31 }, { kind: 'number', slider: false }],
    [{ enum: ['a', 'b'] }, { kind: 'choice', options: ['a', 'b'] }],
    [{ type: 'boolean' }, { kind: 'switch' }],
    [{ type: 'string', pattern: '^[A-Z]{3}$' }, { kind: 'text', pattern: '^[A-Z]{3}$', long: false }],
    [{ type: 'string', contentEncoding: 'base64', contentMediaType: 'image/*' }, { kind: 'file', media: 'image', many: false }],
    [{ type: 'array', items: { type: 'string', contentMediaType: 'audio/*' } }, { kind: 'file', media: 'audio', many: true }],
    [{ type: 'array', items: { type: 'number' } }, { kind: 'json' }],
    [{ anyOf: [{ type: 'number' }, { type: 'string' }] }, { kind: 'json' }],
    [{}, { kind: 'json' }],
  ])('of %j is %j', (schema, expected) => {
    expect(of(schema)).toMatchObject(expected)
  })

  it('that may be null is that of what else it may be, with its title', () => {
    const [shape] = shapesOf({
      type: 'object',
      properties: { dest: { anyOf: [{ title: 'To', type: 'string' }, { type: 'null' }], default: null } },
    })
    expect(shape!.fields![0]).toMatchObject({ kind: 'text', label: 'To', needed: false, initial: undefined })
  })

  it('is found through a reference', () => {
    const [shape] = shapesOf({
      $ref: '#/$defs/Row',
      $defs: { Row: { type: 'object', properties: { x: { $ref: '#/$defs/X' } } }, X: { type: 'boolean' } },
    })
    expect(shape!.fields![0]).toMatchObject({ name: 'x', kind: 'switch' })
  })
})

describe('kinds of body', () => {
  const shapes = shapesOf({
    anyOf: [
      { title: 'Flight', type: 'object', properties: { carrier: {}, month: {} }, required: ['carrier'] },
      { title: 'Features', type: 'object', properties: { x: {} }, required: ['x'] },
      { type: 'array' },
    ],
  })

  it('are the members of a union; one that is no object has no fields', () => {
    expect(shapes.map((one) => [one.title, one.fields === null])).toEqual([
      ['Flight', false],
      ['Features', false],
      ['array', true],
    ])
  })

  it.each([
    [{ x: [1] }, 1],
    [{ carrier: 'UA' }, 0],
    ['text', 0],
  ])('an example chooses the one that it fits: %j', (body, at) => {
    expect(shapeFor(shapes, body)).toBe(at)
  })
})

it.each([
  [undefined, 'needed'],
  [1.5, 'a whole number'],
  [0, 'at least 1'],
  [13, 'at most 12'],
  [6, ''],
])('month %j is wrong by: %s', (value, why) => {
  expect(wrongWith(of({ type: 'integer', minimum: 1, maximum: 12 }), value)).toBe(why)
})

it('an expression that only Python has is left to the platform', () => {
  expect(wrongWith(of({ type: 'string', pattern: '(?P<a>x)' }), 'y')).toBe('')
})

it('predict comes first, and nothing known is no entry', () => {
  expect(entriesOf({ endpoints: { form: {}, predict: {} } }).map((one) => one.name)).toEqual(['predict', 'form'])
  expect(entriesOf(null)).toEqual([])
})
