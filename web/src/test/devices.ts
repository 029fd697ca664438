/** Made-up devices, types and places, each as small as the types allow. */
import type { Command, Device, DeviceType, Hold, Place } from '@/rooms/devices/queries'

export function device(more: Partial<Device> = {}): Device {
  return {
    id: 'lamp-1',
    type: 'lamp',
    type_version: '1.0.0',
    at: 'campus/lab',
    title: '',
    status: 'online',
    reason: null,
    last_seen: '2026-11-22T05:00:00Z',
    online_since: null,
    simulated: false,
    description: null,
    created_at: '2026-11-20T10:00:00Z',
    created_by: 'ada',
    values: { on: { value: false, at: '2026-11-22T05:00:00Z', stale: false, content_type: null, url: null } },
    holds: [],
    mqtt: 'mqtt://127.0.0.1:1883',
    password: null,
    ...more,
  }
}

export function hold(more: Partial<Hold> = {}): Hold {
  return {
    property: 'on',
    value: true,
    tier: 'human',
    by: 'ada',
    command: 'cmd-1',
    since: '2026-11-22T05:00:00Z',
    until: new Date(Date.now() + 3_600_000).toISOString(),
    holds: true,
    ...more,
  }
}

export function lamp(more: Partial<DeviceType> = {}): DeviceType {
  return {
    name: 'lamp',
    version: '1.0.0',
    title: 'Lamp',
    description: '',
    properties: {
      on: { type: 'boolean', access: 'rw', safe: false },
      brightness: { type: 'number', unit: '%', minimum: 0, maximum: 100, access: 'rw' },
    },
    events: {},
    toml: 'name = "lamp"',
    deprecated: null,
    created_at: null,
    created_by: '',
    ...more,
  }
}

export function command(more: Partial<Command> = {}): Command {
  return {
    id: 'cmd-2',
    device: 'lamp-1',
    set: { on: true },
    get: [],
    status: 'observed',
    reason: null,
    cause: null,
    by: { tier: 'human', run: null, user: 'ada' },
    because: [],
    created_at: '2026-11-22T05:00:00Z',
    hold_until: null,
    finished_at: '2026-11-22T05:00:01Z',
    history: [{ at: '2026-11-22T05:00:00Z', status: 'accepted', reason: null }],
    ...more,
  }
}

export function place(path: string): Place {
  return { path, zone: 'UTC', title: '', created_at: null }
}
