/** Made-up runs and apps, each as small as the types allow. */
import type { Schemas } from '@/api/client'
import type { Run } from '@/ui/runs'

export function run(more: Partial<Run> = {}): Run {
  return {
    id: 'run-1',
    app: 'mood',
    version: '2',
    schedule: 'night',
    at: 'lab',
    status: 'ready',
    reason: 'it is ready',
    window: { from: '2026-11-22T08:00:00Z', to: null },
    bindings: { lamps: ['lamp-1', 'lamp-2'] },
    params: { smooth_s: 8 },
    user: 'ada',
    restarts: 0,
    url: 'http://night.apps.localhost',
    created_at: '2026-11-22T08:00:00Z',
    started_at: '2026-11-22T08:00:01Z',
    ready_at: '2026-11-22T08:00:02Z',
    finished_at: null,
    history: [
      { at: '2026-11-22T08:00:00Z', status: 'planned', reason: 'window opened' },
      { at: '2026-11-22T08:00:02Z', status: 'ready', reason: 'it is ready' },
      { at: '2026-11-22T08:30:00Z', status: null, reason: 'lamps: lamp-9 is gone, lamp-2 takes over' },
    ],
    last_lines: [],
    ...more,
  }
}

export function app(more: Partial<Schemas['AppView']> = {}): Schemas['AppView'] {
  return {
    name: 'mood',
    owner: 'ada',
    visibility: 'team',
    summary: 'Light by mood',
    card: { authors: ['Grace'], abstract: 'It listens.', homepage: 'javascript:alert(1)' },
    url: null,
    asked: [],
    aliases: { production: [{ version: '2', weight: 100 }] },
    versions: [appVersion('2'), appVersion('1')],
    devices: { lamps: { type: 'lamp@1', count: '1..', shared: true, tier: 'app' } },
    models: { mood: 'mood@production' },
    params: { smooth_s: { type: 'number', default: 8, minimum: 1, maximum: 120, title: 'Mean over' } },
    page: true,
    ...more,
  }
}

export function appVersion(version: string, more: object = {}): Schemas['VersionView'] {
  return {
    version,
    status: 'ready',
    reason: 'its entry imports',
    said: '',
    digest: 'd'.repeat(64),
    created_at: '2026-11-20T10:00:00Z',
    created_by: 'ada',
    ready_at: '2026-11-20T10:01:00Z',
    warnings: [],
    last_lines: [],
    error: null,
    serving: '',
    crash: '',
    evidence: null,
    ...more,
  }
}

export const listed = (items: object[]) => ({ items, next: null })
