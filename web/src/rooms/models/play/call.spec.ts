import { describe, expect, it } from 'vitest'

import { curl, pathOf, python, request, sent } from './call'
import { eventOf } from '@/api/events'
import { shapesOf } from './fields'
import { wav } from './wav'

const fields = shapesOf({
  type: 'object',
  properties: { a: { type: 'string' }, b: { type: 'number' }, c: { type: 'string' } },
  required: ['a'],
})[0]!.fields!

it('what is not set is left out; a text that is needed may be empty', () => {
  expect(sent(fields, { a: '', b: undefined, c: '' })).toEqual({ a: '' })
  expect(sent(fields, { a: 'x', b: 0, c: null })).toEqual({ a: 'x', b: 0 })
})

describe('a call elsewhere', () => {
  const picture = new File(['x'], "ada's cat.png", { type: 'image/png' })

  it('is quoted for the shell', () => {
    expect(curl('http://h/v1/models/m/predict', { say: "it's" })).toContain(`-d '{"say":"it'\\''s"}'`)
    expect(curl('http://h/x', { picture, n: 3 })).toContain(`-F 'picture=@ada'\\''s cat.png'`)
    expect(curl('http://h/x', { picture, n: 3 })).toContain('-F n=3')
  })

  it('is Python', () => {
    const said = python('http://h', 'm', 'predict', { a: true, b: null, c: ['x'], d: { e: 1 } }, false)
    expect(said).toContain('client.model("m").predict(a=True, b=None, c=["x"], d={"e": 1})')
    expect(python('http://h', 'm', 'predict', { picture, n: 3 }, false)).toContain(`.predict(Path("ada's cat.png"), n=3)`)
    const form = python('http://h', 'm', 'form', { picture, n: 3 }, false)
    expect(form).toContain('"http://h/v1/models/m/form"')
    expect(form).toContain(`files=[("picture", open("ada's cat.png", "rb"))]`)
    expect(form).toContain('data={"n": 3}')
    expect(python('http://h', 'm', 'predict', { 'no name': 1 }, true)).toContain('.submit({"no name": 1})')
  })
})

it('files go as a form, all else as JSON; jobs have their own address', async () => {
  const form = request('/p', { picture: new File(['x'], 'a.png'), n: 3, words: ['a', 'b'] }, false).body as FormData
  expect([...form.keys()]).toEqual(['picture', 'n', 'words', 'words'])
  expect(request('/p', { n: 3 }, true).headers.accept).toContain('text/event-stream')
  expect([pathOf('m', 'predict', true), pathOf('m', 'form', true), pathOf('m', 'form', false)]).toEqual([
    '/v1/models/m/jobs',
    '/v1/models/m/form/jobs',
    '/v1/models/m/form',
  ])
})

it('an event is its name and its data; a comment is none', () => {
  expect(eventOf('event: done\ndata: {"pieces": 2}')).toEqual({ name: 'done', data: { pieces: 2 } })
  expect(eventOf('data: "a"')).toEqual({ name: 'message', data: 'a' })
  expect(eventOf(': still here')).toBeNull()
})

it('a sound is a WAV of 16 bits', () => {
  const made = new DataView(wav(new Float32Array([0, 1, -1, 2]), 16000))
  expect([made.byteLength, made.getUint32(24, true), made.getUint16(34, true)]).toEqual([52, 16000, 16])
  expect([44, 46, 48, 50].map((at) => made.getInt16(at, true))).toEqual([0, 32767, -32767, 32767])
})
