// Written by scripts/openapi.py from the code; change it there and run: make docs

export type CommandStatus =
  | 'accepted'
  | 'sent'
  | 'delivered'
  | 'applied'
  | 'observed'
  | 'failed'

export type DeliveryStatus =
  | 'waiting'
  | 'delivered'
  | 'failed'

export type DeviceStatus =
  | 'provisioned'
  | 'online'
  | 'stale'
  | 'offline'
  | 'retired'

export type JobStatus =
  | 'queued'
  | 'running'
  | 'succeeded'
  | 'failed'
  | 'canceled'

export type MailStatus =
  | 'waiting'
  | 'sent'
  | 'kept'
  | 'failed'

export type ReplicaStatus =
  | 'starting'
  | 'ready'
  | 'busy'
  | 'draining'
  | 'gone'
  | 'crashed'
  | 'crash_loop'

export type RunStatus =
  | 'planned'
  | 'starting'
  | 'ready'
  | 'stopping'
  | 'succeeded'
  | 'failed'
  | 'canceled'
  | 'skipped'

export type VersionStatus =
  | 'building'
  | 'starting'
  | 'ready'
  | 'sleeping'
  | 'retired'
  | 'failed'

export type Role =
  | 'ai_developer'
  | 'app_developer'
  | 'configurer'
  | 'user'

export const ALLOWED = {
  call_models: ['ai_developer', 'app_developer', 'configurer', 'user'],
  grant: ['configurer'],
  manage_apps: ['app_developer', 'configurer'],
  manage_devices: ['configurer'],
  manage_models: ['ai_developer', 'configurer'],
  manage_others: ['configurer'],
  manage_users: ['configurer'],
  operate: ['configurer'],
  push_apps: ['app_developer'],
  push_models: ['ai_developer'],
  read_logs: ['configurer'],
  schedule: ['app_developer', 'configurer', 'user'],
  schedule_safety: ['configurer'],
  see_audit: ['configurer'],
  see_devices: ['ai_developer', 'app_developer', 'configurer', 'user'],
  send_commands: ['app_developer', 'configurer', 'user'],
  set_secrets: ['ai_developer', 'app_developer', 'configurer'],
  simulate: ['app_developer', 'configurer'],
} as const satisfies Record<string, readonly Role[]>
