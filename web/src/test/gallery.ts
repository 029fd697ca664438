/** Made-up entries of the gallery. */
import type { Entry } from '@/rooms/gallery/queries'

export function entry(more: Partial<Entry> = {}): Entry {
  const id = more.id ?? 'gal-1'
  return {
    id,
    title: '',
    prompt: 'a red boat',
    seed: 11,
    model: 'painter',
    version: '2',
    endpoint: 'predict',
    job: 'job-1',
    inputs: { prompt: 'a red boat', steps: 6 },
    outputs: { seed: 11, width: 64 },
    content_type: 'image/png',
    size_bytes: 1200,
    sha256: 'a'.repeat(64),
    visibility: 'team',
    created_by: 'ada',
    created_at: '2026-11-20T10:00:00Z',
    made_at: '2026-11-20T09:59:00Z',
    url: `http://localhost/api/v1/gallery/${id}`,
    links: { self: `/api/v1/gallery/${id}`, content: `/api/v1/gallery/${id}/content`, page: `/ui/gallery/${id}` },
    ...more,
  }
}
