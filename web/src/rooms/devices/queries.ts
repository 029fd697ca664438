/** Devices on the server: one function a question, keys begin with `devices`. */
import { useQuery, useQueryClient } from '@tanstack/vue-query'
import { computed, ref, type Ref } from 'vue'

import { api, ok, type Schemas } from '@/api/client'
import { useStream } from '@/state/stream'

export type Device = Schemas['DeviceView']
export type DeviceType = Schemas['TypeView']
export type Place = Schemas['LocationView']
export type Command = Schemas['CommandView']
export type Hold = Schemas['HoldView']
export type Reading = Schemas['ReadingView']
export type Simulation = Schemas['SimulationView']

/** So many are soon there, and fill a screen many times. */
const FIRST_PAGE = 200
const PAGE = 2_000
const LOOKED_AT_MS = 60_000
const FOLLOWED_MS = 3_000

/** All devices, page by page: the first are there while the others come. Values in sight are followed by `useLive`. */
export function useDevices() {
  const cache = useQueryClient()
  const queryKey = ['devices', 'all']
  /** Whether what is there is not all yet. */
  const coming = ref(false)
  const query = useQuery({
    queryKey,
    queryFn: async ({ signal }): Promise<Device[]> => {
      const isFirst = cache.getQueryData(queryKey) === undefined
      const found: Device[] = []
      let after: string | null = ''
      while (after !== null) {
        const query: { limit: number; after: string } = { limit: after === '' ? FIRST_PAGE : PAGE, after }
        const page: Schemas['Page_DeviceView_'] = await ok(api.GET('/api/v1/devices', { params: { query }, signal }))
        found.push(...page.items)
        after = page.next ?? null
        coming.value = isFirst && after !== null
        if (coming.value) cache.setQueryData(queryKey, [...found])
      }
      return found
    },
    refetchInterval: LOOKED_AT_MS,
    staleTime: LOOKED_AT_MS / 2,
    structuralSharing: false,
    shallow: true,
  })
  return { query, coming }
}

/** One device, as it changes. */
export function useDevice(id: Ref<string>) {
  const cache = useQueryClient()
  const queryKey = computed(() => ['devices', 'one', id.value])
  const query = useQuery({
    queryKey,
    queryFn: (): Promise<Device> => ok(api.GET('/api/v1/devices/{device}', { params: { path: { device: id.value } } })),
  })
  const stream = useStream(
    computed(() => (query.data.value ? livePath([id.value]) : null)),
    {
      device: (told) => {
        const now = told as Device
        cache.setQueryData<Device>(['devices', 'one', now.id], (old) => (old ? { ...old, ...now, mqtt: old.mqtt ?? null } : now))
      },
    },
  )
  return { query, stream }
}

export function livePath(ids: readonly string[]): string {
  return `/api/v1/live/devices?${ids.map((id) => `device=${encodeURIComponent(id)}`).join('&')}`
}

export function usePlaces() {
  return useQuery({
    queryKey: ['devices', 'places'],
    queryFn: async (): Promise<Place[]> => (await ok(api.GET('/api/v1/locations'))).items,
    staleTime: LOOKED_AT_MS / 2,
  })
}

export function useTypes() {
  return useQuery({
    queryKey: ['devices', 'types'],
    queryFn: async (): Promise<DeviceType[]> => (await ok(api.GET('/api/v1/types'))).items,
    staleTime: LOOKED_AT_MS,
  })
}

/** One version of a type, which never changes. */
export function useType(ref: Ref<string>) {
  return useQuery({
    queryKey: ['devices', 'types', ref],
    queryFn: (): Promise<DeviceType> => ok(api.GET('/api/v1/types/{name}', { params: { path: { name: ref.value } } })),
    staleTime: LOOKED_AT_MS,
  })
}

export function useCommands(id: Ref<string>) {
  return useQuery({
    queryKey: ['devices', 'one', id, 'commands'],
    queryFn: async (): Promise<Command[]> => {
      const params = { path: { device: id.value }, query: { limit: 100 } }
      return (await ok(api.GET('/api/v1/devices/{device}/commands', { params }))).items
    },
    refetchInterval: FOLLOWED_MS,
  })
}

export interface Span {
  property: string
  range_s: number
  /** Seconds; null: each reading. */
  step: number | null
}
export const READINGS_MAX = 2_000

export function useHistory(id: Ref<string>, span: Ref<Span>) {
  return useQuery({
    queryKey: ['devices', 'one', id, 'history', span],
    queryFn: async (): Promise<Reading[]> => {
      const { property, range_s, step } = span.value
      const since = new Date(Date.now() - range_s * 1000).toISOString()
      const query = step === null ? { since, limit: READINGS_MAX } : { since, step }
      const path = { device: id.value, property_: property }
      return (await ok(api.GET('/api/v1/devices/{device}/history/{property_}', { params: { path, query } }))).items
    },
    enabled: computed(() => span.value.property !== ''),
    refetchInterval: LOOKED_AT_MS / 4,
    shallow: true,
  })
}

export function useSimulations() {
  return useQuery({
    queryKey: ['devices', 'simulations'],
    queryFn: async (): Promise<Simulation[]> => (await ok(api.GET('/api/v1/simulations'))).items,
    refetchInterval: LOOKED_AT_MS / 4,
  })
}
