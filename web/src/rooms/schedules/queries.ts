/** Schedules on the server: one function a question, keys begin with `schedules`. The journal tells of their changes. */
import { keepPreviousData, useQuery } from '@tanstack/vue-query'
import { computed, type Ref } from 'vue'

import { api, ok, type Schemas } from '@/api/client'
import { useMay, useMe } from '@/state/me'

import { addDays } from './wall'

export type Schedule = Schemas['ScheduleView']
export type ScheduleBody = Schemas['ScheduleBody']
export type Preview = Schemas['PreviewView']
export type Firing = Schemas['FiringView']
export type Ahead = Schemas['AheadView']
export type App = Schemas['AppView']
export type Run = Schemas['RunView']
export type Place = Schemas['LocationView']
export type Device = Schemas['DeviceView']

const LOOKED_AT_MS = 60_000
const WEEKS_AHEAD_MS = 35 * 86_400_000
export const RUNS_SHOWN = 20
/** So many windows a preview tells. */
export const SHOWN = 60

export function useSchedules() {
  return useQuery({
    queryKey: ['schedules', 'all'],
    queryFn: async (): Promise<Schedule[]> => (await ok(api.GET('/api/v1/schedules'))).items,
    refetchInterval: LOOKED_AT_MS,
  })
}

export function useSchedule(name: Ref<string>) {
  return useQuery({
    queryKey: ['schedules', 'one', name],
    queryFn: (): Promise<Schedule> => ok(api.GET('/api/v1/schedules/{ref}', { params: { path: { ref: name.value } } })),
    refetchInterval: LOOKED_AT_MS,
  })
}

/** Windows of all schedules in the week that begins on `monday`, a day more on both sides: it is any zone's week. */
export function useWeek(monday: Ref<string>, at: Ref<string | undefined>) {
  return useQuery({
    queryKey: ['schedules', 'windows', monday, at],
    queryFn: (): Promise<Schemas['AheadsView']> => {
      const span = { from: `${addDays(monday.value, -1)}T00:00:00Z`, to: `${addDays(monday.value, 8)}T00:00:00Z` }
      return ok(api.GET('/api/v1/windows', { params: { query: { ...span, ...(at.value ? { at: at.value } : {}) } } }))
    },
    placeholderData: keepPreviousData,
    refetchInterval: LOOKED_AT_MS,
  })
}

/** Windows of one schedule in the next five weeks. */
export function useNext(of: Ref<Schedule>) {
  return useQuery({
    queryKey: ['schedules', 'one', computed(() => of.value.name), 'windows'],
    queryFn: async (): Promise<Ahead[]> => {
      const now = Date.now()
      const span = { from: new Date(now).toISOString(), to: new Date(now + WEEKS_AHEAD_MS).toISOString() }
      const query = { ...span, app: of.value.app, at: of.value.at }
      const found = await ok(api.GET('/api/v1/windows', { params: { query } }))
      return found.items.filter((one) => one.schedule === of.value.name)
    },
    refetchInterval: LOOKED_AT_MS,
  })
}

export function useRuns(name: Ref<string>) {
  return useQuery({
    queryKey: ['schedules', 'one', name, 'runs'],
    queryFn: async (): Promise<Run[]> =>
      (await ok(api.GET('/api/v1/runs', { params: { query: { schedule: name.value, limit: RUNS_SHOWN } } }))).items,
    refetchInterval: LOOKED_AT_MS,
  })
}

export function useApps() {
  return useQuery({
    queryKey: ['apps'],
    queryFn: async (): Promise<App[]> => (await ok(api.GET('/api/v1/apps'))).items,
    refetchInterval: LOOKED_AT_MS,
  })
}

export function usePlaces() {
  return useQuery({
    queryKey: ['devices', 'places'],
    queryFn: async (): Promise<Place[]> => (await ok(api.GET('/api/v1/locations'))).items,
    staleTime: LOOKED_AT_MS / 2,
  })
}

/** Devices of a type at a place and in it. */
export function useFitting(type: Ref<string>, at: Ref<string>) {
  return useQuery({
    queryKey: ['devices', 'fitting', type, at],
    queryFn: async (): Promise<Device[]> =>
      (await ok(api.GET('/api/v1/devices', { params: { query: { type: type.value, at: at.value, limit: 200 } } }))).items,
    staleTime: LOOKED_AT_MS / 2,
  })
}

/** What a schedule would come to; null: nothing can be asked yet. `of` names the schedule that is to be changed. */
export function usePreview(body: Ref<ScheduleBody | null>, of = '') {
  return useQuery({
    queryKey: ['schedules', 'preview', of, body],
    queryFn: async ({ signal }): Promise<Preview> => {
      const asked = { ...(body.value as ScheduleBody), dry_run: true, show: SHOWN }
      const answer = of
        ? ok(api.PUT('/api/v1/schedules/{ref}', { params: { path: { ref: of } }, body: asked, signal }))
        : ok(api.POST('/api/v1/schedules', { body: asked, signal }))
      return (await answer) as Preview
    },
    enabled: computed(() => body.value !== null),
    placeholderData: keepPreviousData,
    staleTime: LOOKED_AT_MS / 2,
  })
}

/** Whether who is signed in may change a schedule: its maker, or whoever manages what is others'. */
export function useMayChange(of: Ref<Schedule>) {
  const me = useMe()
  const may = useMay()
  return computed(() => may('schedule') && of.value.removed_at === null && (me.data.value?.user === of.value.created_by || may('manage_others')))
}
