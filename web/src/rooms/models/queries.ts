/** Models on the server: one function a question, keys begin with `models`. */
import { useQuery } from '@tanstack/vue-query'
import type { Ref } from 'vue'

import { api, ok, type Schemas } from '@/api/client'

export type Model = Schemas['ModelView']
export type Version = Schemas['VersionView']
export type Replica = Schemas['ReplicaView']

const FOLLOWED_MS = 2_000
const LOOKED_AT_MS = 15_000

export function useModels() {
  return useQuery({
    queryKey: ['models'],
    queryFn: async (): Promise<Model[]> => (await ok(api.GET('/api/v1/models'))).items,
    refetchInterval: LOOKED_AT_MS,
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

function isOnItsWay(version: Version): boolean {
  return version.status === 'building' || version.status === 'starting'
}
