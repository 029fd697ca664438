/** Moments, spans and sizes in words. Pure: the moment is passed in. */
const UNITS: [number, string][] = [
  [60, 's'],
  [60, 'min'],
  [24, 'h'],
  [30, 'd'],
  [12, 'mo'],
]

export function ago(iso: string, nowMs: number): string {
  const seconds = (nowMs - Date.parse(iso)) / 1000
  if (Math.abs(seconds) < 10) return 'just now'
  const said = span(Math.abs(seconds))
  return seconds >= 0 ? `${said} ago` : `in ${said}`
}

/** Returns seconds in their largest whole unit: `95` is `1 min`. */
export function span(seconds: number): string {
  let left = seconds
  for (const [size, unit] of UNITS) {
    if (left < size) return `${Math.floor(left)} ${unit}`
    left /= size
  }
  return `${Math.floor(left)} y`
}

export function moment(iso: string): string {
  return new Date(iso).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'medium' })
}

/** Returns the time of day, to the second. */
export function clock(iso: string): string {
  return new Date(iso).toLocaleTimeString('en-GB')
}

export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3))
  const value = count / 1000 ** power
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power]}`
}

export function milliseconds(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '–'
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`
  return ms >= 100 ? `${Math.round(ms)} ms` : `${ms.toPrecision(2)} ms`
}

/** Returns a number as people read it: at most four digits that count. */
export function figure(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString('en')
  return Number(value.toPrecision(4)).toLocaleString('en', { maximumFractionDigits: 6 })
}
