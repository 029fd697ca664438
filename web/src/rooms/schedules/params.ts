/** Parameters of apps, as texts and back. Pure. */
export interface ParamSpec {
  type?: string
  default?: unknown
  minimum?: number | null
  maximum?: number | null
  enum?: unknown[] | null
  title?: string
}

export function shownParam(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Returns what `text` means for a parameter: undefined where nothing was typed. */
export function readParam(spec: ParamSpec, text: string): { value?: unknown; isWrong: boolean } {
  if (text === '') return { isWrong: false }
  if (spec.type === 'string') return { value: text, isWrong: false }
  const listed = spec.enum?.find((one) => shownParam(one) === text)
  if (listed !== undefined) return { value: listed, isWrong: false }
  try {
    return { value: JSON.parse(text), isWrong: false }
  } catch {
    return { isWrong: true }
  }
}
