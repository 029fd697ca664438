/** Quotas as a form has them, and as they are sent. Pure. */
import type { Schemas } from '@/api/client'
import { person as texts } from '@/texts/house'

export const KINDS = ['calls_per_day', 'stored_mb'] as const
type Kind = (typeof KINDS)[number]
interface Wish {
  mode: 'same' | 'figure' | 'default' | 'none'
  figure: string
}
export type Quotas = Record<Kind, Wish>

export const emptyQuotas = (): Quotas => ({ calls_per_day: { mode: 'same', figure: '' }, stored_mb: { mode: 'same', figure: '' } })

export function wrongWith(given: Quotas): Record<string, string> {
  const wrong = KINDS.filter((kind) => given[kind].mode === 'figure' && !/^[1-9]\d{0,8}$/.test(given[kind].figure))
  return Object.fromEntries(wrong.map((kind) => [kind, texts.figureNeeded]))
}

/** Returns what is to be changed: a figure, `default` or `none`; what stays is left out. */
export function asSent(given: Quotas): Schemas['UserChange'] {
  const changed = KINDS.filter((kind) => given[kind].mode !== 'same')
  return Object.fromEntries(changed.map((kind) => [kind, given[kind].mode === 'figure' ? Number(given[kind].figure) : given[kind].mode]))
}
