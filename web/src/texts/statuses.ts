/** Statuses in words: one for each member, so that a new one does not build until it has its word. */
import type { CommandStatus, DeliveryStatus, DeviceStatus, JobStatus, MailStatus, ReplicaStatus, RunStatus } from '@/api/words'

export const replicaStates: Record<ReplicaStatus, string> = {
  starting: 'starting',
  ready: 'ready',
  busy: 'busy',
  draining: 'draining',
  gone: 'gone',
  crashed: 'crashed',
  crash_loop: 'crashes in a loop',
}

export const jobStates: Record<JobStatus, string> = {
  queued: 'waits',
  running: 'running',
  succeeded: 'done',
  failed: 'failed',
  canceled: 'canceled',
}

export const runStates: Record<RunStatus, string> = {
  planned: 'planned',
  starting: 'starting',
  ready: 'running',
  stopping: 'stopping',
  succeeded: 'done',
  failed: 'failed',
  canceled: 'canceled',
  skipped: 'skipped',
}

export const deviceStates: Record<DeviceStatus, string> = {
  provisioned: 'never seen',
  online: 'online',
  stale: 'silent',
  offline: 'offline',
  retired: 'retired',
}

export const commandStates: Record<CommandStatus, string> = {
  accepted: 'accepted',
  sent: 'sent',
  delivered: 'delivered',
  applied: 'applied',
  observed: 'observed',
  failed: 'failed',
}

export const mailStates: Record<MailStatus, string> = {
  waiting: 'waits',
  sent: 'sent',
  kept: 'kept here',
  failed: 'failed',
}

export const deliveryStates: Record<DeliveryStatus, string> = {
  waiting: 'waits',
  delivered: 'delivered',
  failed: 'failed',
}
