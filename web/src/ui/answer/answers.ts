/** What an answer is, so that it can be shown as that: JSON in, blocks out. Pure. */
import { inWords } from './words'

export interface Bar {
  name: string
  /** 0 to 1. */
  ratio: number
}
export interface Box {
  label: string
  /** Left, top, right, bottom in pixels of the picture; null: where it is, is not told. */
  at: readonly [number, number, number, number]
}
export type Block =
  | { kind: 'class'; label: string; bars: Bar[] }
  | { kind: 'bars'; bars: Bar[] }
  | { kind: 'boxes'; boxes: Box[] }
  | { kind: 'picture'; source: string }
  | { kind: 'sound'; source: string }
  | { kind: 'color'; value: string }
  | { kind: 'text'; text: string }
  | { kind: 'number'; value: number }
  | { kind: 'yesno'; value: boolean }
  | { kind: 'nothing' }
  | { kind: 'table'; columns: string[]; rows: unknown[][] }
  | { kind: 'parts'; parts: { name: string; block: Block }[] }
  | { kind: 'json'; value: unknown }

type Plain = Record<string, unknown>
const LABELS = ['label', 'class', 'prediction', 'category', 'name', 'mood', 'late', 'hot']
const SCORES = ['probability', 'score', 'confidence', 'probabilities', 'scores']
const BOXES = ['box', 'bbox', 'bounding_box']
const COLOR = /^#[0-9a-f]{6}([0-9a-f]{2})?$/i
const ROWS_MAX = 500
const DEEP = 4
const CELL_MAX = 6

/** Returns `value` as blocks; `hasPicture`: a picture was sent, on which boxes can be drawn. */
export function blockOf(value: unknown, hasPicture = false, depth = 0): Block {
  if (value === null || value === undefined) return { kind: 'nothing' }
  if (typeof value === 'boolean') return { kind: 'yesno', value }
  if (typeof value === 'number') return { kind: 'number', value }
  if (typeof value === 'string') return ofText(value)
  if (depth > DEEP) return { kind: 'json', value }
  if (Array.isArray(value)) return ofList(value, hasPicture, depth)
  return ofObject(value as Plain, hasPicture, depth)
}

function ofText(value: string): Block {
  if (value.startsWith('data:image/')) return { kind: 'picture', source: value }
  if (value.startsWith('data:audio/')) return { kind: 'sound', source: value }
  return COLOR.test(value) ? { kind: 'color', value } : { kind: 'text', text: value }
}

function ofList(list: unknown[], hasPicture: boolean, depth: number): Block {
  if (list.length === 1) return blockOf(list[0], hasPicture, depth)
  const ranked = barsOfList(list)
  if (ranked) return { kind: 'class', label: ranked[0]?.name ?? '', bars: ranked }
  if (list.length > 0 && list.every(isFlat)) {
    const columns = [...new Set(list.flatMap((one) => Object.keys(one)))]
    return { kind: 'table', columns, rows: list.slice(0, ROWS_MAX).map((one) => columns.map((column) => one[column])) }
  }
  const rows = list as unknown[][]
  if (list.length > 0 && list.every((one) => Array.isArray(one) && one.every(isScalar) && one.length === rows[0]?.length)) {
    return { kind: 'table', columns: (rows[0] ?? []).map((_, at) => String(at + 1)), rows: rows.slice(0, ROWS_MAX) }
  }
  return { kind: 'json', value: list }
}

function ofObject(value: Plain, hasPicture: boolean, depth: number): Block {
  const label = LABELS.find((key) => typeof value[key] === 'string' || typeof value[key] === 'boolean')
  const score = SCORES.find((key) => barsOf(value[key]) !== null || isRatio(value[key]))
  const parts: { name: string; block: Block }[] = []
  const told = new Set<string>()
  const boxes = hasPicture ? boxesOf(value) : []
  if (boxes.length > 0) parts.push({ name: '', block: { kind: 'boxes', boxes } })
  if (label !== undefined && score !== undefined) {
    parts.push({ name: '', block: classOf(label, value[label], value[score], score) })
    told.add(label).add(score)
  }
  for (const [key, one] of Object.entries(value)) {
    if (told.has(key)) continue
    const bars = SCORES.includes(key) ? barsOf(one) : null
    const rest = boxes.length > 0 ? withoutBoxes(one) : one
    parts.push({ name: inWords(key), block: bars ? { kind: 'bars', bars } : blockOf(rest, false, depth + 1) })
  }
  if (parts.length === 1 && parts[0]) return parts[0].name ? { kind: 'parts', parts } : parts[0].block
  return { kind: 'parts', parts }
}

function classOf(key: string, label: unknown, score: unknown, name: string): Block {
  const said = typeof label === 'boolean' ? `${inWords(key)}: ${label ? 'yes' : 'no'}` : String(label)
  return { kind: 'class', label: said, bars: barsOf(score) ?? [{ name: inWords(name), ratio: Number(score) }] }
}

/** Returns an object of ratios as bars, the longest first. */
function barsOf(value: unknown): Bar[] | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  const entries = Object.entries(value)
  if (entries.length === 0 || !entries.every(([, one]) => isRatio(one))) return null
  return entries.map(([name, one]) => ({ name, ratio: Number(one) })).sort((one, other) => other.ratio - one.ratio)
}

/** Returns `[{label, score}, …]` as bars: how pipelines tell classes. */
function barsOfList(list: unknown[]): Bar[] | null {
  const bars = list.map((one) => {
    const item = (typeof one === 'object' && one !== null ? one : {}) as Plain
    const name = item.label ?? item.class ?? item.name
    const ratio = item.score ?? item.probability ?? item.confidence
    return typeof name === 'string' && isRatio(ratio) && boxOf(item) === null ? { name, ratio: Number(ratio) } : null
  })
  if (bars.length === 0 || bars.some((one) => one === null)) return null
  return (bars as Bar[]).sort((one, other) => other.ratio - one.ratio)
}

/** Returns all boxes that an object or a list in it tells. */
export function boxesOf(value: Plain): Box[] {
  for (const one of Object.values(value)) {
    if (!Array.isArray(one) || one.length === 0) continue
    const boxes = one.map((item) => (typeof item === 'object' && item !== null ? boxOf(item as Plain) : null))
    if (boxes.every((box) => box !== null)) return boxes as Box[]
  }
  const own = boxOf(value)
  return own ? [own] : []
}

/** Returns the same without the boxes that are drawn. */
function withoutBoxes(value: unknown): unknown {
  if (!Array.isArray(value)) return value
  return value.map((item: unknown) =>
    typeof item === 'object' && item !== null && boxOf(item as Plain)
      ? Object.fromEntries(Object.entries(item).filter(([key]) => !BOXES.includes(key)))
      : item,
  )
}

function boxOf(item: Plain): Box | null {
  const given = BOXES.map((key) => item[key]).find((one) => one !== undefined)
  const at = cornersOf(given)
  if (at === null) return null
  const name = [item.label, item.name, item.class].find((one) => typeof one === 'string')
  const score = [item.score, item.confidence, item.probability].find(isRatio)
  return { label: [name, score === undefined ? '' : `${Math.round(Number(score) * 100)} %`].filter(Boolean).join(' '), at }
}

function cornersOf(given: unknown): [number, number, number, number] | null {
  if (Array.isArray(given)) {
    const [left, top, right, bottom] = given as number[]
    return given.length === 4 && given.every((one) => typeof one === 'number')
      ? [left ?? 0, top ?? 0, right ?? 0, bottom ?? 0]
      : null
  }
  if (typeof given !== 'object' || given === null) return null
  const box = given as Record<string, number>
  const left = box.left ?? box.xmin ?? box.x1 ?? box.x
  const top = box.top ?? box.ymin ?? box.y1 ?? box.y
  if (left === undefined || top === undefined) return null
  const right = box.right ?? box.xmax ?? box.x2 ?? (box.width === undefined ? undefined : left + box.width)
  const bottom = box.bottom ?? box.ymax ?? box.y2 ?? (box.height === undefined ? undefined : top + box.height)
  return right === undefined || bottom === undefined ? null : [left, top, right, bottom]
}

function isRatio(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= 1
}

function isScalar(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}

/** Whether a value fits into one cell: a scalar, or a few of them. */
function isCell(value: unknown): boolean {
  return isScalar(value) || (Array.isArray(value) && value.length <= CELL_MAX && value.every(isScalar))
}

function isFlat(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isCell)
}
