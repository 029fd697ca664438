/** Which schedules are shown. Pure. */
import { schedules as texts } from '@/texts/schedules'

import type { Schedule } from '../queries'

export type StateWish = keyof typeof texts.filters

export function stateWish(text: unknown): StateWish {
  return typeof text === 'string' && text in texts.filters ? (text as StateWish) : 'current'
}

export function chosen(all: readonly Schedule[], text: string, state: StateWish): Schedule[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  return all.filter((one) => {
    const isState = state === 'all' || (state === 'current' ? one.state !== 'done' : one.state === state)
    const said = `${one.name} ${one.app} ${one.at} ${one.paused ?? ''}`.toLowerCase()
    return isState && words.every((word) => said.includes(word))
  })
}
