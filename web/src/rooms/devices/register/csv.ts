/** A file of devices, CSV with a heading, and the file of their passwords: as the command line reads and writes them. Pure. */
import type { Problem } from '@/api/errors'
import { register as texts } from '@/texts/devices'

import type { Device } from '../queries'

const NEEDED = ['id', 'type', 'at'] as const
const COLUMNS: string[] = [...NEEDED, 'title']
export interface Row {
  line: number
  item: { id: string; type: string; at: string; title: string }
}
export interface Wrong {
  /** 0: the file as a whole. */
  line: number
  said: string
}

/** Returns the devices of a file and what is wrong with it, by line. */
export function readDevices(text: string): { rows: Row[]; wrong: Wrong[] } {
  const { lines: found, open } = cells(text.replace(/^\uFEFF/, ''))
  const [heading, ...lines] = found
  const names = (heading?.cells ?? []).map((one) => one.trim().toLowerCase())
  const unfit = headingFault(names)
  if (unfit.length > 0) return { rows: [], wrong: unfit.map((said) => ({ line: 1, said })) }
  const rows: Row[] = []
  const wrong: Wrong[] = []
  for (const one of lines) {
    if (one.cells.every((cell) => cell.trim() === '')) continue
    if (one.cells.length !== names.length) {
      wrong.push({ line: one.line, said: texts.tooFew(one.cells.length, names.length) })
      continue
    }
    const of = (name: string): string => one.cells[names.indexOf(name)]?.trim() ?? ''
    const item = { id: of('id'), type: of('type'), at: of('at'), title: of('title') }
    for (const name of NEEDED) if (!item[name]) wrong.push({ line: one.line, said: texts.lacks(name) })
    rows.push({ line: one.line, item })
  }
  if (open > 0) wrong.push({ line: open, said: texts.openQuote })
  const before = new Map<string, number>()
  for (const { line, item } of rows) {
    const first = before.get(item.id)
    if (first === undefined) before.set(item.id, line)
    else if (item.id) wrong.push({ line, said: texts.again(item.id, first) })
  }
  wrong.sort((one, other) => one.line - other.line)
  if (rows.length === 0 && wrong.length === 0) wrong.push({ line: 0, said: texts.empty })
  return { rows, wrong }
}

/** Returns what is wrong with the names of the columns, as the command line tells it. */
function headingFault(names: readonly string[]): string[] {
  const [first = ''] = names
  const sign = names.length === 1 ? [';', '\t', '|'].find((one) => first.includes(one)) : undefined
  if (sign) return [texts.separated(sign === '\t' ? 'tabs' : sign)]
  const lacking = NEEDED.filter((name) => !names.includes(name))
  if (lacking.length > 0) return lacking.map(texts.noColumn)
  const foreign = names.filter((name) => !COLUMNS.includes(name))
  const twice = names.filter((name, at) => names.indexOf(name) !== at)
  return [...foreign.map(texts.foreign), ...twice.map(texts.twice)]
}

/** Returns a file's text; null: it is no text in UTF-8. */
export async function textOf(file: Blob): Promise<string | null> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer())
  } catch {
    return null
  }
}

/** Returns what the platform refused, by line of the file: its paths begin with the index of the device. */
export function byLine(problems: readonly Problem[], rows: readonly Row[]): Wrong[] {
  return problems.map((one) => {
    const at = one.path.split('.').find((part) => /^\d+$/.test(part))
    return { line: rows[Number(at)]?.line ?? 0, said: [one.message, one.hint].filter(Boolean).join('; ') }
  })
}

/** Returns the lines of a CSV text (RFC 4180), each with its number in the file, and where a quotation is left open (0: nowhere). */
function cells(text: string): { lines: { line: number; cells: string[] }[]; open: number } {
  const found: { line: number; cells: string[] }[] = []
  let line = 1
  let row: { line: number; cells: string[] } = { line, cells: [] }
  let cell = ''
  let isQuoted = false
  let quotedAt = 0

  function endRow(): void {
    row.cells.push(cell)
    if (row.cells.length > 1 || cell !== '') found.push(row)
    cell = ''
    row = { line: line + 1, cells: [] }
  }

  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at)
    if (isQuoted && char === '"' && text.charAt(at + 1) === '"') {
      cell += '"'
      at += 1
    } else if (char === '"' && (isQuoted || cell === '')) {
      isQuoted = !isQuoted
      quotedAt = line
    } else if (!isQuoted && char === ',') {
      row.cells.push(cell)
      cell = ''
    } else if (!isQuoted && char === '\n') endRow()
    else if (isQuoted || char !== '\r') cell += char
    if (char === '\n') line += 1
  }
  endRow()
  return { lines: found, open: isQuoted ? quotedAt : 0 }
}

export function passwordsFile(devices: readonly Device[]): string {
  return ['id,mqtt,password', ...devices.map((one) => [one.id, one.mqtt ?? '', one.password ?? ''].join(','))].join('\n') + '\n'
}

/** Returns how a first value is sent with the programs of mosquitto. */
export function trying(device: Device): string {
  const { host, port, isSafe } = whereOf(device.mqtt ?? '')
  const tls = isSafe ? ' --tls-use-os-certs' : ''
  return `mosquitto_pub -h ${host} -p ${port}${tls} -i ${device.id} -u ${device.id} -P '${device.password ?? ''}' -t dev/${device.id}/status -m online`
}

function whereOf(mqtt: string): { host: string; port: string; isSafe: boolean } {
  const found = /^(mqtts?):\/\/(.+):(\d+)$/.exec(mqtt)
  return { host: found?.[2] ?? 'HOST', port: found?.[3] ?? '1883', isSafe: found?.[1] === 'mqtts' }
}
