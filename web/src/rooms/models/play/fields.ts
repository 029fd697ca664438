/** A form from a signature: JSON Schema in, fields out. What no field can hold is asked for as JSON. Pure. */
import { inWords } from '@/ui/answer/words'

export type Schema = Record<string, unknown>
export type Media = 'image' | 'audio' | 'any'

interface Base {
  name: string
  label: string
  hint: string
  needed: boolean
  /** What it is when it is left alone; undefined: it is left out. */
  initial: unknown
}
export type Field = Base &
  (
    | { kind: 'text'; long: boolean; pattern: string; least: number; most: number | null }
    | { kind: 'number'; whole: boolean; least: number | null; most: number | null; slider: boolean }
    | { kind: 'choice'; options: (string | number | boolean)[] }
    | { kind: 'switch' }
    | { kind: 'file'; media: Media; accept: string; many: boolean }
    | { kind: 'json' }
  )

/** One of the kinds of body that an entry takes. */
export interface Shape {
  title: string
  /** Null: it is no object, so only JSON can say it. */
  fields: Field[] | null
}
export interface Entry {
  name: string
  summary: string
  shapes: Shape[]
  streams: boolean
  output: Schema
}

const LONG = /prompt|text|comment|review|sentence|document|body|question|abstract/i
const SLIDER_STEPS = 1000

/** Returns what a model's signature offers, `predict` first. */
export function entriesOf(signature: unknown): Entry[] {
  const endpoints = asObject(asObject(signature).endpoints)
  return Object.entries(endpoints)
    .map(([name, told]) => {
      const endpoint = asObject(told)
      const files = (endpoint.files as string[] | undefined) ?? []
      return {
        name,
        summary: text(endpoint.summary),
        shapes: shapesOf(asObject(endpoint.input), files),
        streams: Boolean(endpoint.streams),
        output: asObject(endpoint.output),
      }
    })
    .sort((one, other) => Number(other.name === 'predict') - Number(one.name === 'predict'))
}

export function shapesOf(schema: Schema, files: readonly string[] = []): Shape[] {
  const definitions = asObject(schema.$defs)
  const whole = resolved(schema, definitions)
  const options = Array.isArray(whole.anyOf) && !whole.properties ? (whole.anyOf as Schema[]) : [whole]
  return options.map((option) => {
    const found = resolved(option, definitions)
    const title = text(found.title) || text(found.description) || text(found.type)
    if (typeof found.properties !== 'object' || found.properties === null) return { title, fields: null }
    const needed = new Set((found.required as string[] | undefined) ?? [])
    const fields = Object.entries(found.properties as Record<string, Schema>).map(([name, one]) =>
      fieldOf(name, one, definitions, needed.has(name), files.includes(name)),
    )
    return { title, fields }
  })
}

function fieldOf(name: string, given: Schema, definitions: Schema, needed: boolean, isFile: boolean): Field {
  const outer = resolved(given, definitions)
  const members = ((outer.anyOf as Schema[] | undefined) ?? [outer]).map((one) => resolved(one, definitions))
  const real = members.filter((one) => one.type !== 'null')
  const schema = real[0] ?? outer
  const told = [text(outer.description), text(schema.description)].find(Boolean) ?? ''
  const label = [text(outer.title), text(schema.title)].find(Boolean) ?? inWords(name)
  const base: Base = { name, label, hint: told, needed, initial: outer.default ?? undefined }
  const media = mediaOf(schema.type === 'array' ? resolved(asObject(schema.items), definitions) : schema)
  if (media !== null || isFile) {
    const accept = text(schema.contentMediaType) || '*/*'
    return { ...base, kind: 'file', media: media ?? 'any', accept, many: schema.type === 'array' }
  }
  if (real.length > 1) return { ...base, kind: 'json' }
  return ofType(base, schema)
}

function ofType(base: Base, schema: Schema): Field {
  if (Array.isArray(schema.enum)) return { ...base, kind: 'choice', options: schema.enum as string[] }
  if (schema.const !== undefined) return { ...base, kind: 'choice', options: [schema.const as string] }
  if (schema.type === 'boolean') return { ...base, kind: 'switch' }
  if (schema.type === 'integer' || schema.type === 'number') {
    const whole = schema.type === 'integer'
    const least = number(schema.minimum) ?? number(schema.exclusiveMinimum)
    const most = number(schema.maximum) ?? number(schema.exclusiveMaximum)
    const steps = least !== null && most !== null ? most - least : Infinity
    return { ...base, kind: 'number', whole, least, most, slider: (base.needed || typeof base.initial === 'number') && steps <= SLIDER_STEPS }
  }
  if (schema.type === 'string') {
    const most = number(schema.maxLength)
    const long = LONG.test(base.name) && (most === null || most > 80) && !schema.pattern
    return { ...base, kind: 'text', long, pattern: text(schema.pattern), least: number(schema.minLength) ?? 0, most }
  }
  return { ...base, kind: 'json' }
}

/** Returns which of `shapes` a body is most like: an example chooses the form that shows it. */
export function shapeFor(shapes: readonly Shape[], body: unknown): number {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return 0
  const keys = Object.keys(body)
  const fits = shapes.map(({ fields }) => {
    if (fields === null) return -1
    const names = fields.map((field) => field.name)
    const lacks = fields.filter((field) => field.needed && !keys.includes(field.name)).length
    return keys.filter((key) => names.includes(key)).length - 2 * keys.filter((key) => !names.includes(key)).length - lacks
  })
  return Math.max(0, fits.indexOf(Math.max(...fits)))
}

/** Returns what `value` lacks to be sent as `field`, in words; empty: nothing. */
export function wrongWith(field: Field, value: unknown): string {
  const isUnset = value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)
  if (isUnset) return field.needed && !(field.kind === 'text' && value === '' && field.least === 0) ? 'needed' : ''
  if (field.kind === 'number') {
    if (typeof value !== 'number' || Number.isNaN(value)) return 'a number'
    if (field.whole && !Number.isInteger(value)) return 'a whole number'
    if (field.least !== null && value < field.least) return `at least ${field.least}`
    if (field.most !== null && value > field.most) return `at most ${field.most}`
  }
  if (field.kind === 'text' && typeof value === 'string') {
    if (value.length < field.least) return `at least ${field.least} characters`
    if (field.most !== null && value.length > field.most) return `at most ${field.most} characters`
    if (field.pattern && !matches(field.pattern, value)) return `like ${field.pattern}`
  }
  return ''
}

function matches(pattern: string, value: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(value)
  } catch {
    return true // an expression of Python that is none here: the platform judges it
  }
}

function mediaOf(schema: Schema): Media | null {
  const kind = text(schema.contentMediaType)
  if (!kind) return null
  if (kind.startsWith('image/')) return 'image'
  return kind.startsWith('audio/') ? 'audio' : 'any'
}

function resolved(schema: Schema, definitions: Schema): Schema {
  const reference = text(schema.$ref)
  if (!reference) return schema
  return { ...asObject(definitions[reference.slice(reference.lastIndexOf('/') + 1)]), ...schema }
}

function asObject(value: unknown): Schema {
  return typeof value === 'object' && value !== null ? (value as Schema) : {}
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}
