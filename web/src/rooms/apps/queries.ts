/** Apps and their runs on the server: one function a question. The journal tells of changes of both. */
import { useQuery } from '@tanstack/vue-query'
import type { Ref } from 'vue'

import { api, ok, type Schemas } from '@/api/client'

const LOOKED_AT_MS = 60_000

export function useApps() {
  return useQuery({
    queryKey: ['apps'],
    queryFn: async (): Promise<Schemas['AppView'][]> => (await ok(api.GET('/api/v1/apps'))).items,
    refetchInterval: LOOKED_AT_MS,
  })
}

export function useRuns() {
  return useQuery({
    queryKey: ['runs'],
    queryFn: async (): Promise<Schemas['RunView'][]> => (await ok(api.GET('/api/v1/runs'))).items,
    refetchInterval: LOOKED_AT_MS,
  })
}

export function useWhy(of: Ref<string>) {
  return useQuery({
    queryKey: ['runs', 'why', of],
    queryFn: (): Promise<Schemas['WhyView']> => ok(api.GET('/api/v1/why', { params: { query: { of: of.value } } })),
  })
}
