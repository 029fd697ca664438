/** Where a thing that the journal names is looked at. Pure. */
import type { Entry } from '../queries'

const nameOf = (ref: string): string => ref.split('@')[0] ?? ref

/** Returns the address of what an entry is about; '' where it has no screen of its own. */
export function pathOf(entry: Pick<Entry, 'kind' | 'ref'>): string {
  const { kind, ref } = entry
  if (kind === 'model' || kind === 'version') return `/models/${nameOf(ref)}`
  if (kind === 'app' || kind === 'app_version') return `/apps/${nameOf(ref)}`
  if (kind === 'user') return `/house/users/${ref}`
  if (kind === 'job') return `/house/jobs/${ref}`
  if (kind === 'run') return `/runs/${ref}`
  if (kind === 'device') return `/devices/id/${ref}`
  if (kind === 'gallery') return `/gallery/${ref}`
  return kind === 'type' ? `/devices/types/${nameOf(ref)}` : ''
}
