/** Made-up views of the house, each as small as the types allow. */
import type { Entry, Job, Letter, Person, Status, System, Token } from '@/rooms/house/queries'

export const page = <T>(items: T[], next: string | null = null) => ({ items, next })

export function status(more: Partial<Status> = {}): Status {
  return {
    state: 'ok',
    home: '/srv/fairlead',
    troubles: [],
    processes: [
      { name: 'envoy', node: 'local', pid: 7, status: 'running', since: '2026-11-22T08:00:00Z', restarts: 0, reason: '', memory_mb: 40, cpu: 0.031 },
      { name: 'control', node: 'local', pid: 0, status: 'waiting', since: '', restarts: 3, reason: '<b>exit 1</b>', memory_mb: null, cpu: null },
    ],
    models: { ready: 2 },
    runs: {},
    jobs: { queued: 2, failed: 1200 },
    devices: { online: 3 },
    ...more,
  }
}

export function system(more: Partial<System> = {}): System {
  return {
    version: '1.0',
    node: 'local',
    url: 'http://localhost:8080',
    mqtt: 'mqtt://localhost:1883',
    apps_domain: 'apps.localhost',
    isolation: { level: 'landlock', holds: ['only its own files'], missing: ['a user id of its own: not root'] },
    limits: { body_max_bytes: 100_000_000, user_per_s: 0, bundle_entries: 20_000, token_days: 30, something_new: 7 },
    processes: {},
    nodes: [{ node: 'local', at: '2026-11-22T08:00:00Z', isolation: 'landlock', memory_total_mb: 4000, memory_used_mb: 1000, load: 0.5, cores: 2 }],
    ...more,
  }
}

export function job(more: Partial<Job> = {}): Job {
  return {
    id: 'job-1',
    model: 'weather',
    version: '1',
    endpoint: 'predict',
    status: 'failed',
    reason: 'attempt 3 failed',
    priority: 'normal',
    created_at: '2026-11-22T08:00:00Z',
    started_at: '2026-11-22T08:00:01Z',
    finished_at: '2026-11-22T08:00:02Z',
    deadline_at: null,
    expires_at: '2026-11-29T08:00:00Z',
    attempts: 3,
    next_attempt_at: null,
    progress: null,
    error: { code: 'model_failed', message: '<img src=x> is no weather', hint: '' },
    created_by: 'ada',
    callback: null,
    request_id: null,
    trace_id: null,
    links: {},
    download: null,
    ...more,
  }
}

export function someone(more: Partial<Person> = {}): Person {
  return {
    name: 'zoe',
    roles: ['user'],
    disabled: false,
    created_at: '2026-11-20T08:00:00Z',
    used: { calls_today: 3, calls_per_day: 500, stored_bytes: 0, stored_mb: null },
    password: null,
    pending: null,
    ...more,
  }
}

export function token(more: Partial<Token> = {}): Token {
  return {
    id: 'tok-9',
    label: 'ci',
    user: 'zoe',
    roles: ['user'],
    created_at: '2026-11-20T08:00:00Z',
    expires_at: '2027-11-20T08:00:00Z',
    revoked_at: null,
    calls_today: 0,
    calls_per_day: null,
    token: null,
    ends_with: null,
    pending: null,
    ...more,
  }
}

export function letter(more: Partial<Letter> = {}): Letter {
  return {
    id: 4,
    to: ['ops@example.org'],
    subject: 'It fires',
    attachments: [],
    run: null,
    status: 'kept',
    reason: 'there is no mail server',
    attempts: 0,
    created_at: '2026-11-22T08:00:00Z',
    sent_at: null,
    ...more,
  }
}

export function entry(more: Partial<Entry> = {}): Entry {
  return { id: 9, at: '2026-11-22T08:00:00Z', kind: 'user', ref: 'zoe', said: 'added as user', from: null, to: null, because: [], by: 'eve', ...more }
}
