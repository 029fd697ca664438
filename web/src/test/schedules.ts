/** A made-up schedule for tests, as small as the types allow. */
import type { Schedule } from '@/rooms/schedules/queries'

export function schedule(more: Partial<Schedule> = {}): Schedule {
  return {
    id: 'sch-1',
    name: 'night',
    app: 'mood',
    at: 'lab',
    zone: 'Europe/Berlin',
    cron: null,
    every_s: null,
    for_s: null,
    windows: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '18:00', to: '07:00' }],
    once: null,
    start: null,
    end: null,
    except: [],
    dst: { gap: 'shift', overlap: 'first', length: 'wall' },
    overlap: 'skip',
    catch_up: 'while_open',
    paused: null,
    params: {},
    bind: {},
    notify: [],
    next_at: '2026-11-23T17:00:00Z',
    created_at: '2026-11-20T10:00:00Z',
    created_by: 'ada',
    removed_at: null,
    state: 'waiting',
    conflicts: [],
    warnings: [],
    ...more,
  }
}
