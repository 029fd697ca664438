/** One form: its data, what is wrong with it, whether it is on its way. */
import { computed, reactive, ref, type Ref } from 'vue'

import type { ApiError, Problem } from '@/api/errors'

import { asApiError } from './remote'

export interface FormOptions<T, R> {
  initial: () => T
  /** What the page itself knows to be wrong; path to message. */
  check?: (data: T) => Record<string, string>
  submit: (data: T) => Promise<R>
  success?: (result: R) => void
}

/** Returns a form's data and state. A refusal's problems stand at their fields; all else is in `error`. */
export function useForm<T extends object, R>(options: FormOptions<T, R>) {
  const data = reactive(options.initial()) as T
  const before = ref(JSON.stringify(data))
  const errors: Ref<Record<string, string>> = ref({})
  const error: Ref<ApiError | null> = ref(null)
  const busy = ref(false)
  const pristine = computed(() => JSON.stringify(data) === before.value)

  async function submit(): Promise<void> {
    if (busy.value) return
    errors.value = options.check?.(data) ?? {}
    error.value = null
    if (Object.keys(errors.value).length > 0) return
    busy.value = true
    try {
      const result = await options.submit(data)
      before.value = JSON.stringify(data)
      options.success?.(result)
    } catch (failed) {
      error.value = asApiError(failed)
      errors.value = byPath(error.value.problems)
    } finally {
      busy.value = false
    }
  }

  function reset(): void {
    Object.assign(data, options.initial())
    before.value = JSON.stringify(data)
    errors.value = {}
    error.value = null
  }

  return { data, errors, error, busy, pristine, submit, reset }
}

export function byPath(problems: readonly Problem[]): Record<string, string> {
  return Object.fromEntries(problems.map((one) => [one.path, one.hint ? `${one.message}. ${one.hint}` : one.message]))
}
