/** A command by hand: which properties, to what, for how long. Pure. */
import type { Schema } from '../values'

export const HOLDS = ['600', '3600', '28800', '86400', '604800', 'until'] as const
const YEAR_S = 365 * 24 * 3600

export interface Draft {
  ticked: Record<string, boolean>
  values: Record<string, unknown>
  hold: (typeof HOLDS)[number]
  /** As a field for local moments has it: `2026-11-22T18:30`. */
  until: string
  because: string
}
export interface Order {
  set: Record<string, unknown>
  hold_s: number
  because: string[] | null
}

export function orderOf(draft: Draft, nowMs: number): Order {
  const set = Object.fromEntries(Object.entries(draft.values).filter(([name]) => draft.ticked[name]))
  const because = draft.because.trim()
  return { set, hold_s: holdOf(draft, nowMs), because: because ? [because] : null }
}

/** Returns what is wrong with a draft, by field; values under `set.<property>`. */
export function wrongWith(draft: Draft, schemas: Record<string, Schema>, nowMs: number): Record<string, string> {
  const wrong: Record<string, string> = {}
  const ticked = Object.keys(schemas).filter((name) => draft.ticked[name])
  if (ticked.length === 0) wrong.set = 'nothing'
  for (const name of ticked) {
    const why = wrongValue(draft.values[name], schemas[name] ?? {})
    if (why) wrong[`set.${name}`] = why
  }
  const hold = holdOf(draft, nowMs)
  if (!(hold > 0 && hold <= YEAR_S)) wrong.until = 'moment'
  return wrong
}

/** Returns why a value is none of a property, in words; empty: it is one. The platform has the last word. */
export function wrongValue(value: unknown, schema: Schema): string {
  if (value === undefined || value === null || value === '') return schema.type === 'string' && value === '' ? '' : 'is needed'
  if (schema.type === 'number' || schema.type === 'integer') {
    if (typeof value !== 'number' || Number.isNaN(value)) return 'a number'
    if (schema.type === 'integer' && !Number.isInteger(value)) return 'a whole number'
    if (schema.minimum !== undefined && value < schema.minimum) return `at least ${schema.minimum}`
    if (schema.maximum !== undefined && value > schema.maximum) return `at most ${schema.maximum}`
  }
  if (typeof value === 'string' && schema.maxLength !== undefined && value.length > schema.maxLength) {
    return `at most ${schema.maxLength} characters`
  }
  return ''
}

function holdOf(draft: Draft, nowMs: number): number {
  return draft.hold === 'until' ? (Date.parse(draft.until) - nowMs) / 1000 : Number(draft.hold)
}

/** Returns a moment as a field for local moments has it. */
export function localMoment(ms: number): string {
  const at = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000)
  return at.toISOString().slice(0, 16)
}
