/** Who is signed in, and what they may do: by the same table as the platform's own. */
import { useQuery } from '@tanstack/vue-query'
import { computed } from 'vue'

import { api, ok, type Schemas } from '@/api/client'
import { ALLOWED, type Role } from '@/api/words'

import { session } from './session'

export type Verb = keyof typeof ALLOWED

export function useMe() {
  return useQuery({
    queryKey: ['me'],
    queryFn: async (): Promise<Schemas['MeView']> => {
      const me = await ok(api.GET('/api/v1/me'))
      session.begin(me.user)
      return me
    },
    staleTime: 60_000,
    retry: false,
  })
}

/** Returns a predicate: whether who is signed in may do `verb`. What one may not do is not offered. */
export function useMay() {
  const { data } = useMe()
  const roles = computed(() => new Set<Role>((data.value?.roles ?? []) as Role[]))
  return (verb: Verb): boolean => ALLOWED[verb].some((role) => roles.value.has(role))
}
