/** Models on the server: one function a question, keys begin with `models`. */
import { useQuery } from '@tanstack/vue-query'
import type { Ref } from 'vue'

import { api, ok, type Schemas } from '@/api/client'
import { ApiError } from '@/api/errors'

export type Model = Schemas['ModelView']
/** What lists show of a model. */
export type ModelShort = Schemas['ModelShortView']
export type Version = Schemas['VersionView']
export type Replica = Schemas['ReplicaView']

const FOLLOWED_MS = 2_000
const LOOKED_AT_MS = 15_000
/** The journal tells of changes. */
const LISTED_MS = 120_000

export function useModels() {
  return useQuery({
    queryKey: ['models'],
    queryFn: async (): Promise<ModelShort[]> =>
      (await ok(api.GET('/api/v1/models', { params: { query: { view: 'short' } } }))).items as ModelShort[],
    refetchInterval: LISTED_MS,
  })
}

/** Asks often while a version is on its way, else now and then. */
export function useModel(name: Ref<string>) {
  return useQuery({
    queryKey: ['models', name],
    queryFn: (): Promise<Model> => ok(api.GET('/api/v1/models/{name}', { params: { path: { name: name.value } } })),
    refetchInterval: (query) => (query.state.data?.versions.some(isOnItsWay) ? FOLLOWED_MS : LOOKED_AT_MS),
  })
}

export function useScaling(name: Ref<string>) {
  return useQuery({
    queryKey: ['models', name, 'scaling'],
    queryFn: (): Promise<Schemas['ScalingView']> =>
      ok(api.GET('/api/v1/models/{name}/scaling', { params: { path: { name: name.value } } })),
    refetchInterval: FOLLOWED_MS,
  })
}

/** What people read before they use a model, each fact with whose word it is. */
export function useCard(name: Ref<string>) {
  return useQuery({
    queryKey: ['models', name, 'card'],
    queryFn: (): Promise<Schemas['CardView']> =>
      ok(api.GET('/api/v1/models/{name}/card', { params: { path: { name: name.value } } })),
  })
}

/** How the objectives stand; null where nothing is promised. */
export function useObjective(name: Ref<string>) {
  return useQuery({
    queryKey: ['models', name, 'slo'],
    queryFn: async (): Promise<Schemas['SloView'] | null> => {
      try {
        return await ok(api.GET('/api/v1/models/{name}/slo', { params: { path: { name: name.value } } }))
      } catch (error) {
        if (error instanceof ApiError && error.code === 'no_objective') return null
        throw error
      }
    },
    refetchInterval: LOOKED_AT_MS,
  })
}

function isOnItsWay(version: Version): boolean {
  return version.status === 'building' || version.status === 'starting'
}
