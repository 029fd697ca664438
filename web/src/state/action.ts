/** One thing that a click does: on its way or not, told of in a toast, and what it changed asked for again. */
import { type QueryKey, useQueryClient } from '@tanstack/vue-query'
import { ref, type Ref } from 'vue'

import { toast, toastError } from './toasts'

export interface Action<A extends unknown[]> {
  busy: Ref<boolean>
  /** Returns whether it was done; what went wrong was told. */
  run: (...given: A) => Promise<boolean>
}

/** Returns `act` as an action; `said` is told once it was done, `refreshes` are the queries that it changes. */
export function useAction<A extends unknown[], R>(
  act: (...given: A) => Promise<R>,
  options: { said?: (result: R, ...given: A) => string; refreshes?: QueryKey[] } = {},
): Action<A> {
  const cache = useQueryClient()
  const busy = ref(false)

  async function run(...given: A): Promise<boolean> {
    if (busy.value) return false
    busy.value = true
    try {
      const result = await act(...given)
      await Promise.all((options.refreshes ?? []).map((queryKey) => cache.invalidateQueries({ queryKey })))
      if (options.said) toast(options.said(result, ...given))
      return true
    } catch (error) {
      toastError(error)
      return false
    } finally {
      busy.value = false
    }
  }

  return { busy, run }
}
