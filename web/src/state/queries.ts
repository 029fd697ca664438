/** The one cache of what the server knows. */
import { QueryClient } from '@tanstack/vue-query'

import { ApiError } from '@/api/errors'

import { onReturn } from './connection'

const TRIES = 3

/** Returns the cache; what fails for a moment is tried `tries` times more. */
export function makeQueryClient(tries = TRIES): QueryClient {
  const client = new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        networkMode: 'always',
        retry: (count, error) => error instanceof ApiError && error.passes && count < tries,
        retryDelay: (count) => Math.min(500 * 2 ** count, 4_000),
      },
      mutations: { networkMode: 'always' },
    },
  })
  onReturn(() => void client.invalidateQueries())
  return client
}
