/** What is kept, on the server: keys begin with `gallery`, which the journal has asked again. */
import { useInfiniteQuery, useQuery } from '@tanstack/vue-query'
import type { Ref } from 'vue'

import { api, heard, ok, type Schemas } from '@/api/client'
import { refusalOf } from '@/api/errors'
import { ask, at } from '@/api/place'

export type Entry = Schemas['GalleryView']
export type Facets = Schemas['FacetsView']
export interface Wish {
  model: string
  by: string
  visibility: string
}

const AT_ONCE = 48

export function useEntries(wish: Ref<Wish>) {
  return useInfiniteQuery({
    queryKey: ['gallery', 'list', wish],
    queryFn: async ({ pageParam }) => {
      const set = Object.fromEntries(Object.entries(wish.value).filter(([, value]) => value))
      const query = { ...set, limit: AT_ONCE, ...(pageParam ? { before: pageParam } : {}) }
      return ok(api.GET('/api/v1/gallery', { params: { query } }))
    },
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
  })
}

export function useFacets() {
  return useQuery({
    queryKey: ['gallery', 'facets'],
    queryFn: (): Promise<Facets> => ok(api.GET('/api/v1/gallery/facets')),
  })
}

export function useEntry(id: Ref<string>) {
  return useQuery({
    queryKey: ['gallery', 'one', id],
    queryFn: (): Promise<Entry> => ok(api.GET('/api/v1/gallery/{entry}', { params: { path: { entry: id.value } } })),
  })
}

/** The content of what is shown by its words: JSON, or text. It never changes. */
export function useContent(entry: Ref<Entry>) {
  return useQuery({
    queryKey: ['gallery', 'content', () => entry.value.sha256],
    queryFn: async (): Promise<unknown> => {
      const response = await ask(entry.value.links.content ?? '')
      heard(response)
      if (!response.ok) throw refusalOf(response, await response.json().catch(() => null))
      return entry.value.content_type.startsWith('text/') ? response.text() : response.json()
    },
    staleTime: Infinity,
  })
}

/** Returns where the picture lies, or whatever it is. */
export function contentOf(entry: Entry): string {
  return at(entry.links.content ?? '')
}

export function change(id: string, body: { title: string; visibility: string }): Promise<Entry> {
  return ok(api.PATCH('/api/v1/gallery/{entry}', { params: { path: { entry: id } }, body }))
}

export async function remove(id: string): Promise<void> {
  await ok(api.DELETE('/api/v1/gallery/{entry}', { params: { path: { entry: id } } }))
}
