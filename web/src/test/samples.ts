/** Made-up views of the platform, each as small as the types allow. */
import type { Model, ModelShort, Version } from '@/rooms/models/queries'

export function version(more: Partial<Version> = {}): Version {
  return {
    version: '1',
    status: 'ready',
    reason: 'a replica is ready',
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
    ...more,
  }
}

const FLIGHT = {
  title: 'Flight',
  type: 'object',
  properties: {
    carrier: { enum: ['AA', 'UA'], title: 'Carrier' },
    month: { type: 'integer', title: 'Month', minimum: 1, maximum: 12 },
  },
  required: ['carrier', 'month'],
}

export function model(more: Partial<Model> = {}): Model {
  return {
    name: 'plane-delay',
    owner: 'ada',
    visibility: 'team',
    summary: 'Will it leave late?',
    card: { authors: ['Grace'], task: 'tabular-classification', tags: ['flights'], license: 'MIT', abstract: 'It guesses.' },
    url: 'http://localhost/v1/models/plane-delay/predict',
    aliases: { production: [{ version: '1', weight: 100 }] },
    versions: [version()],
    inputs: {},
    outputs: {},
    signature: { endpoints: { predict: { input: FLIGHT, output: {}, files: [], summary: '' } } },
    examples: [{ title: 'A June evening', input: { carrier: 'UA', month: 6 } }],
    replicas: [],
    traffic: [],
    pending: null,
    ...more,
  } as Model
}

export function modelShort(more: Partial<ModelShort> = {}): ModelShort {
  return {
    name: 'plane-delay',
    owner: 'ada',
    visibility: 'team',
    summary: 'Will it leave late?',
    authors: ['Grace'],
    task: 'tabular-classification',
    tags: ['flights'],
    version: '1',
    status: 'ready',
    reason: 'a replica is ready',
    changed_at: '2026-11-20T10:00:00Z',
    ...more,
  }
}
