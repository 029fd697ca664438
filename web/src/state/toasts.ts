/** Short notes on what was done, or why it was not. */
import { reactive } from 'vue'

import { asApiError } from './remote'

export type Tone = 'good' | 'bad' | 'plain'
export interface Toast {
  id: number
  tone: Tone
  text: string
  hint: string
}

const STAYS_MS = 6000
let last = 0

export const toasts = reactive<Toast[]>([])

export function toast(text: string, tone: Tone = 'good', hint = ''): void {
  const id = ++last
  toasts.push({ id, tone, text, hint })
  if (tone !== 'bad') setTimeout(() => dismiss(id), STAYS_MS) // a failure stays until it was read
}

/** Tells of any failure in the platform's own words. */
export function toastError(error: unknown): void {
  const told = asApiError(error)
  if (told.status !== 401) toast(told.message, 'bad', told.hint)
}

export function dismiss(id: number): void {
  const at = toasts.findIndex((one) => one.id === id)
  if (at >= 0) toasts.splice(at, 1)
}
