/** A call of a model: what is sent, and how the same is sent from a shell and from Python. Pure but for reading files. */
import type { Field } from './fields'

export type Values = Record<string, unknown>

export interface Ready {
  path: string
  headers: Record<string, string>
  body: BodyInit
}

/** Returns the values that are sent: those that are set. */
export function sent(fields: readonly Field[], values: Values): Values {
  const found: Values = {}
  for (const field of fields) {
    const value = values[field.name]
    if (value === undefined || value === null || (value === '' && !field.needed)) continue
    if (Array.isArray(value) && value.length === 0 && field.kind === 'file') continue
    found[field.name] = value
  }
  return found
}

export function pathOf(model: string, entry: string, isJob: boolean): string {
  const call = entry === 'predict' && isJob ? 'jobs' : isJob ? `${entry}/jobs` : entry
  return `/v1/models/${model}/${call}`
}

/** Returns the request: JSON, or a form where there are files. */
export function request(path: string, body: unknown, streams: boolean): Ready {
  const accept = streams ? 'text/event-stream, */*;q=0.9' : '*/*'
  const files = filesOf(body)
  if (files.length === 0) {
    return { path, headers: { accept, 'content-type': 'application/json' }, body: JSON.stringify(body) }
  }
  const form = new FormData()
  for (const [name, value] of Object.entries(body as Values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one instanceof File) form.append(name, one, one.name)
      else form.append(name, typeof one === 'string' ? one : JSON.stringify(one))
    }
  }
  return { path, headers: { accept }, body: form }
}

export function filesOf(body: unknown): [string, File][] {
  if (typeof body !== 'object' || body === null) return []
  return Object.entries(body).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).filter((one) => one instanceof File).map((one): [string, File] => [name, one]),
  )
}

export function curl(url: string, body: unknown): string {
  const lines = [`curl -s ${quoted(url)}`, `-H "Authorization: Bearer $FAIRLEAD_TOKEN"`]
  const files = filesOf(body)
  if (files.length === 0) {
    lines.push(`-H 'Content-Type: application/json'`, `-d ${quoted(JSON.stringify(body))}`)
  } else {
    for (const [name, value] of Object.entries(body as Values)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        const said = one instanceof File ? `@${one.name}` : typeof one === 'string' ? one : JSON.stringify(one)
        lines.push(`-F ${quoted(`${name}=${said}`)}`)
      }
    }
  }
  return lines.join(' \\\n  ')
}

/** The client of the SDK calls `predict`, with one file at most; every other call is plain HTTP. */
export function python(base: string, model: string, entry: string, body: unknown, isJob: boolean): string {
  const files = filesOf(body)
  if (entry !== 'predict' || files.length > 1) return overHttp(base + pathOf(model, entry, isJob), body)
  return [
    'import os',
    ...(files.length > 0 ? ['from pathlib import Path'] : []),
    '',
    'import fairlead',
    '',
    `client = fairlead.Client(${JSON.stringify(base)}, os.environ["FAIRLEAD_TOKEN"])`,
    `${isJob ? 'job' : 'answer'} = client.model(${JSON.stringify(model)}).${isJob ? 'submit' : 'predict'}(${given(body)})`,
    isJob ? 'print(job.result())' : 'print(answer)',
  ].join('\n')
}

function overHttp(url: string, body: unknown): string {
  const files = filesOf(body)
  const others = Object.fromEntries(Object.entries(body as Values).filter(([, value]) => !files.some(([, file]) => [value].flat().includes(file))))
  const parts = files.map(([name, file]) => `(${JSON.stringify(name)}, open(${JSON.stringify(file.name)}, "rb"))`)
  const content = files.length > 0 ? [`files=[${parts.join(', ')}]`, `data=${literal(others)}`] : [`json=${literal(body)}`]
  return [
    'import os',
    '',
    'import httpx',
    '',
    'answer = httpx.post(',
    ...[JSON.stringify(url), 'headers={"Authorization": "Bearer " + os.environ["FAIRLEAD_TOKEN"]}', ...content, 'timeout=60'].map(
      (line) => `    ${line},`,
    ),
    ')',
    'print(answer.json())',
  ].join('\n')
}

/** Returns what stands between the brackets of a call: fields by name where Python has such names, a file first. */
function given(body: unknown): string {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return literal(body)
  const [file] = filesOf(body)
  const fields = Object.entries(body as Values).filter(([name]) => name !== file?.[0])
  const isPlain = fields.every(([key]) => /^[a-z_][a-z0-9_]*$/i.test(key) && !['from', 'in', 'is', 'class'].includes(key))
  if (!isPlain) return literal(body)
  return [...(file ? [literal(file[1])] : []), ...fields.map(([key, value]) => `${key}=${literal(value)}`)].join(', ')
}

function literal(value: unknown): string {
  if (value instanceof File) return `Path(${JSON.stringify(value.name)})`
  if (value === null || value === undefined) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`
  if (typeof value === 'object') {
    return `{${Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${literal(one)}`).join(', ')}}`
  }
  return JSON.stringify(value)
}

/** Returns `text` as one word of a POSIX shell. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`
}
