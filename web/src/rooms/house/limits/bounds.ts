/** Bounds in groups and in words. Pure. */
import { limits as texts } from '@/texts/house'

type Row = [string, number]
export interface Group {
  title: string
  rows: Row[]
  settings: ReadonlySet<string>
}

const GROUPS: [keyof typeof texts.groups, string[]][] = [
  ['requests', ['body_max_bytes', 'user_per_s', 'token_per_s']],
  ['people', ['user_calls_per_day', 'user_stored_mb', 'token_days']],
  ['bundles', ['bundle_max_bytes', 'bundle_entries', 'bundle_ratio', 'bundle_depth', 'bundle_path_bytes', 'bundle_name_bytes']],
  ['kept', ['scratch_mb', 'zygote_memory_mb', 'keep_days', 'history_days']],
]
/** Those are the program's own, and no setting changes them. */
const FIXED = new Set(['bundle_entries', 'bundle_ratio', 'bundle_depth', 'bundle_path_bytes', 'bundle_name_bytes'])
const MB = 1024 ** 2
/** Where 0 stands for none of it, and not for any number. */
const NOUGHT = new Set(['zygote_memory_mb', 'history_days'])

/** Returns all limits in their groups; one that this page does not know stands with the last. */
export function grouped(limits: Record<string, number>): Group[] {
  const known = new Set(GROUPS.flatMap(([, keys]) => keys))
  const settings = new Set(Object.keys(limits).filter((key) => !FIXED.has(key)))
  return GROUPS.map(([title, keys], at) => {
    const others = at === GROUPS.length - 1 ? Object.keys(limits).filter((key) => !known.has(key)) : []
    const rows = [...keys, ...others].filter((key) => key in limits).map((key): Row => [key, limits[key] ?? 0])
    return { title: texts.groups[title], rows, settings }
  }).filter((group) => group.rows.length > 0)
}

export function inWords(key: string, value: number): string {
  if (value === 0 && !NOUGHT.has(key)) return texts.unlimited
  if (key.endsWith('_max_bytes')) return binary(value / MB)
  if (key.endsWith('_mb')) return binary(value)
  if (key.endsWith('_days')) return texts.days(value)
  return value.toLocaleString('en')
}

/** Returns mebibytes as settings have them: in whole GiB where it is that. */
function binary(mib: number): string {
  if (mib >= 1024 && mib % 1024 === 0) return `${(mib / 1024).toLocaleString('en')} GiB`
  return `${Math.round(mib).toLocaleString('en')} MiB`
}
