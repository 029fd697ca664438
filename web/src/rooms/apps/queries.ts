/** Apps on the server: one function a question. The journal tells of changes. */
import { useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, ok, type Schemas } from '@/api/client'
import type { Run } from '@/ui/runs'

export type App = Schemas['AppView']
export type Schedule = Schemas['ScheduleView']
export type Secret = Schemas['SecretView']

const FOLLOWED_MS = 2_000
const LOOKED_AT_MS = 60_000
const RUNS = 50

export function useApps() {
  return useQuery({
    queryKey: ['apps'],
    queryFn: async (): Promise<App[]> => (await ok(api.GET('/api/v1/apps'))).items,
    refetchInterval: LOOKED_AT_MS,
  })
}

/** Asks often while a version is on its way, else now and then. */
export function useApp(name: Ref<string>) {
  return useQuery({
    queryKey: ['apps', 'one', name],
    queryFn: (): Promise<App> => ok(api.GET('/api/v1/apps/{name}', { params: { path: { name: name.value } } })),
    refetchInterval: (query) =>
      query.state.data?.versions.some((one) => one.status === 'building') ? FOLLOWED_MS : LOOKED_AT_MS,
  })
}

/** What its README.md says; empty where it has none, or no version that runs take. */
export function useReadme(app: Ref<App>) {
  return useQuery({
    queryKey: computed(() => ['apps', 'readme', app.value.name, app.value.aliases.production?.[0]?.version ?? '']),
    queryFn: async (): Promise<string> =>
      (await ok(api.GET('/api/v1/apps/{name}/readme', { params: { path: { name: app.value.name } } }))).text,
    enabled: computed(() => app.value.aliases.production !== undefined),
    staleTime: Infinity,
  })
}

export function useRunsOf(app: Ref<string>) {
  return useQuery({
    queryKey: ['runs', 'of', app],
    queryFn: async (): Promise<Run[]> =>
      (await ok(api.GET('/api/v1/runs', { params: { query: { app: app.value, limit: RUNS } } }))).items,
    refetchInterval: LOOKED_AT_MS,
  })
}

export function useSchedulesOf(app: Ref<string>) {
  return useQuery({
    queryKey: ['schedules', 'of', app],
    queryFn: async (): Promise<Schedule[]> =>
      (await ok(api.GET('/api/v1/schedules', { params: { query: { app: app.value } } }))).items,
    refetchInterval: LOOKED_AT_MS,
  })
}

export function useSecretsOf(bundle: Ref<string>) {
  return useQuery({
    queryKey: ['secrets', bundle],
    queryFn: async (): Promise<Secret[]> =>
      (await ok(api.GET('/api/v1/secrets', { params: { query: { bundle: bundle.value } } }))).items,
  })
}
