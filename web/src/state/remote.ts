/** What is on the server, as a view sees it: one of four states, each with a look of its own. */
import type { UseQueryReturnType } from '@tanstack/vue-query'
import { computed, type ComputedRef } from 'vue'

import { ApiError } from '@/api/errors'

export type Remote<T> =
  | { state: 'loading' }
  | { state: 'empty' }
  | { state: 'error'; error: ApiError; retry: () => void }
  | { state: 'ready'; data: T }

/** Returns a query as a {@link Remote}; what was there stays ready while it is asked for again in vain. */
export function useRemote<T>(
  query: UseQueryReturnType<T, Error>,
  isEmpty: (data: T) => boolean = () => false,
): ComputedRef<Remote<T>> {
  return computed(() => {
    const data = query.data.value as T | undefined
    if (data !== undefined) return isEmpty(data) ? { state: 'empty' } : { state: 'ready', data }
    const error = query.error.value
    if (error) return { state: 'error', error: asApiError(error), retry: () => void query.refetch() }
    return { state: 'loading' }
  })
}

/** Returns any failure as one that can be shown. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  return new ApiError(-1, 'page', error instanceof Error ? error.message : String(error), 'Reload the page.')
}
