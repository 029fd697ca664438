/** A property's history as lines of a chart. Pure. */
import type { Line } from '@/ui/chart/lines'
import { history as texts } from '@/texts/device'

import type { Reading } from '../queries'
import { inWords, type Schema } from '../values'

const STEPS_S = [60, 900, 3600, 86_400]
const RAW_MOST_S = 3600
const STEPS_WANTED = 500

/** Returns the step that fits a span: each reading of an hour, else some hundred steps. Seconds; null: each reading. */
export function stepFor(range_s: number, asked: string): number | null {
  if (asked === 'raw') return null
  if (asked !== 'auto') return Number(asked)
  if (range_s <= RAW_MOST_S) return null
  return STEPS_S.find((step) => range_s / step <= STEPS_WANTED) ?? 86_400
}

export type Kind = 'numbers' | 'switch' | 'words' | 'media'

export function kindOf(schema: Schema): Kind {
  if (schema.contentMediaType) return 'media'
  if (schema.type === 'boolean') return 'switch'
  return schema.type === 'number' || schema.type === 'integer' ? 'numbers' : 'words'
}

/** Returns what can be drawn: numbers as they are, of steps mean, lowest and highest; of booleans how much was true. */
export function linesOf(readings: readonly Reading[], schema: Schema, isStepped: boolean, name: string): Line[] {
  const kind = kindOf(schema)
  const told = [...readings].reverse().filter((one) => one.at !== null)
  const line = (label: string, value: (one: Reading) => number | null): Line => ({
    name: label,
    points: told.map((one) => [Date.parse(one.at as string) / 1000, value(one)] as const),
  })
  if (kind === 'switch') {
    if (!isStepped) return [line(name, (one) => (one.value === true ? 1 : 0))]
    return [line(texts.share(inWords(true)), (one) => Math.round((one.shares?.true ?? 0) * 100))]
  }
  if (kind !== 'numbers') return []
  if (!isStepped) return [line(name, (one) => (typeof one.value === 'number' ? one.value : null))]
  return [
    line(texts.mean, (one) => one.mean ?? null),
    line(texts.low, (one) => one.low ?? null),
    line(texts.high, (one) => one.high ?? null),
  ]
}
