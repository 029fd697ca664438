/** Runs on the server: one function a question, keys begin with `runs`. The journal tells of changes. */
import { keepPreviousData, useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, ok } from '@/api/client'
import { useStream } from '@/state/stream'
import { isOver, type Run } from '@/ui/runs'

const LOOKED_AT_MS = 60_000
const GIVES_UP_MS = 5_000

/** What the platform is asked for; the rest of a wish is looked for in what it answers. */
export interface Asked {
  app: string
  live: boolean
  limit: number
}

export function useRuns(asked: Ref<Asked>) {
  return useQuery({
    queryKey: ['runs', 'list', asked],
    queryFn: async (): Promise<Run[]> => {
      const { app, live, limit } = asked.value
      return (await ok(api.GET('/api/v1/runs', { params: { query: { live, limit, ...(app ? { app } : {}) } } }))).items
    },
    placeholderData: keepPreviousData,
    refetchInterval: LOOKED_AT_MS,
  })
}

/** One run; it is followed by its stream until it ended. */
export function useRun(id: Ref<string>) {
  const cache = useQueryClient()
  const key = computed(() => ['runs', 'one', id.value])
  const query = useQuery({
    queryKey: key,
    queryFn: (): Promise<Run> => ok(api.GET('/api/v1/runs/{run}', { params: { path: { run: id.value } } })),
    refetchInterval: (query) => (query.state.data && !isOver(query.state.data) ? GIVES_UP_MS : false),
  })
  const path = computed(() => {
    const run = query.data.value
    return run && !isOver(run) ? `/api/v1/runs/${run.id}/events` : null
  })
  const take = (run: unknown): void => void cache.setQueryData(key.value, run as Run)
  useStream(path, { step: take, done: take })
  return query
}

/** Names of all apps, to choose one. */
export function useAppNames() {
  return useQuery({
    queryKey: ['apps'],
    queryFn: async () => (await ok(api.GET('/api/v1/apps'))).items,
    select: (apps) => apps.map((app) => app.name),
  })
}
