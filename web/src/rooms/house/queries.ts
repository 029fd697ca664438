/** The house on the server: one function a question. The journal tells of jobs, people, tokens, mails and objectives. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, ok, type Schemas } from '@/api/client'
import { ApiError } from '@/api/errors'
import { type JobStatus } from '@/api/words'
import { useStream } from '@/state/stream'

export type Status = Schemas['StatusView']
export type System = Schemas['SystemView']
export type Job = Schemas['JobView']
export type Person = Schemas['UserView']
export type Token = Schemas['TokenView']
export type Letter = Schemas['MailShortView']
export type Entry = Schemas['EventView']
export type Promised = Schemas['PromisedView']

/** Figures of machines change all the time, and nobody tells of them. */
const FIGURES_MS = 5_000
const LOOKED_AT_MS = 15_000
const SELDOM_MS = 60_000
/** Rows of a page of a list. */
export const ROWS = 50
/** Processes of models that are shown. */
export const REPLICAS = 100

/** One page of a list, and where the next begins. */
export interface Paged<T> {
  items: T[]
  next: string | null
}

const given = (query: object) => Object.fromEntries(Object.entries(query).filter(([, value]) => value !== ''))
const paged = <T>(view: { items: T[]; next?: string | null }): Paged<T> => ({ items: view.items, next: view.next ?? null })

export function useStatus() {
  return useQuery({
    queryKey: ['house', 'status'],
    queryFn: (): Promise<Status> => ok(api.GET('/api/v1/status')),
    refetchInterval: FIGURES_MS,
  })
}

export function useSystem() {
  return useQuery({
    queryKey: ['house', 'system'],
    queryFn: (): Promise<System> => ok(api.GET('/api/v1/system')),
    refetchInterval: FIGURES_MS,
  })
}

export function useReplicas() {
  return useQuery({
    queryKey: ['house', 'replicas'],
    queryFn: async () => (await ok(api.GET('/api/v1/replicas', { params: { query: { limit: REPLICAS } } }))).items,
    refetchInterval: FIGURES_MS,
  })
}

export interface JobWish {
  status: JobStatus | ''
  model: string
  before: string
}

export function useJobs(wish: Ref<JobWish>) {
  return useQuery({
    queryKey: ['jobs', 'list', wish],
    queryFn: async (): Promise<Paged<Job>> =>
      paged(await ok(api.GET('/api/v1/jobs', { params: { query: { ...given(wish.value), limit: ROWS } } }))),
    placeholderData: keepPreviousData,
    refetchInterval: LOOKED_AT_MS,
  })
}

/** One job; its stream tells of it until it has ended. */
export function useJob(id: Ref<string>) {
  const query = useQuery({
    queryKey: ['jobs', 'one', id],
    queryFn: (): Promise<Job> => ok(api.GET('/api/v1/jobs/{job}', { params: { path: { job: id.value } } })),
    refetchInterval: (query) => (query.state.data && !isOver(query.state.data) ? LOOKED_AT_MS : false),
  })
  const path = computed(() => {
    const job = query.data.value
    return job && !isOver(job) ? `/api/v1/jobs/${job.id}/events` : null
  })
  // the end is asked for anew: only that view has the link to the result
  const again = (): void => void query.refetch()
  useStream(path, { progress: again, done: again, error: again })
  return query
}

export const isOver = (job: Job): boolean => ['succeeded', 'failed', 'canceled'].includes(job.status)
/** Whether it may be done again. */
export const isDead = (job: Job): boolean => job.status === 'failed' || job.status === 'canceled'

export function useCallbacks(id: Ref<string>) {
  return useQuery({
    queryKey: ['jobs', 'one', id, 'callbacks'],
    queryFn: async () => (await ok(api.GET('/api/v1/jobs/{job}/callbacks', { params: { path: { job: id.value } } }))).items,
    refetchInterval: LOOKED_AT_MS,
  })
}

export const cancelJob = (id: string): Promise<Job> => ok(api.DELETE('/api/v1/jobs/{job}', { params: { path: { job: id } } }))
export const replayJob = (id: string): Promise<Job> => ok(api.POST('/api/v1/jobs/{job}/replay', { params: { path: { job: id } } }))

export function useObjectives(after: Ref<string>) {
  return useQuery({
    queryKey: ['objectives', after],
    queryFn: async (): Promise<Paged<Promised>> =>
      paged(await ok(api.GET('/api/v1/objectives', { params: { query: { after: after.value, limit: ROWS } } }))),
    placeholderData: keepPreviousData,
    refetchInterval: LOOKED_AT_MS,
  })
}

export function usePeople() {
  return useQuery({
    queryKey: ['users'],
    queryFn: async (): Promise<Person[]> => (await ok(api.GET('/api/v1/users'))).items,
    refetchInterval: SELDOM_MS,
  })
}

export function useTokens(user: Ref<string>) {
  return useQuery({
    queryKey: ['tokens', user],
    queryFn: async (): Promise<Token[]> => (await ok(api.GET('/api/v1/tokens', { params: { query: { user: user.value } } }))).items,
    refetchInterval: SELDOM_MS,
  })
}

export function useLetters(before: Ref<string>) {
  return useQuery({
    queryKey: ['mail', 'list', before],
    queryFn: async (): Promise<Paged<Letter>> => {
      const query = { view: 'short' as const, limit: ROWS, ...(before.value ? { before: Number(before.value) } : {}) }
      return paged(await ok(api.GET('/api/v1/mail', { params: { query } })))
    },
    placeholderData: keepPreviousData,
    refetchInterval: LOOKED_AT_MS,
  })
}

export function useLetter(id: Ref<number>) {
  return useQuery({
    queryKey: ['mail', 'one', id],
    queryFn: () => ok(api.GET('/api/v1/mail/{number}', { params: { path: { number: id.value } } })),
  })
}

export interface AuditWish {
  kind: string
  by: string
  since: string
  before: string
}

/** What people did, newest first. */
export function useAudit(wish: Ref<AuditWish>) {
  return useQuery({
    queryKey: ['audit', wish],
    queryFn: async (): Promise<Paged<Entry>> =>
      paged(await ok(api.GET('/api/v1/audit', { params: { query: { ...given(wish.value), limit: ROWS } } }))),
    placeholderData: keepPreviousData,
    refetchInterval: LOOKED_AT_MS,
  })
}

/** Whether an answer says that something is not there. */
export const isMissing = (error: unknown): boolean => error instanceof ApiError && error.status === 404
