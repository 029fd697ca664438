/** Which devices are shown. Pure. */
import type { Device } from '../queries'

export const HELD = ['any', 'person', 'app', 'nobody'] as const
export type Held = (typeof HELD)[number]
export interface Wish {
  text: string
  at: string
  type: string
  status: string
  held: Held
}

export const NO_WISH: Wish = { text: '', at: '', type: '', status: '', held: 'any' }

export function chosen(devices: readonly Device[], wish: Wish): Device[] {
  const words = wish.text.toLowerCase().split(/\s+/).filter(Boolean)
  return devices.filter(
    (one) =>
      (!wish.at || one.at === wish.at || one.at.startsWith(`${wish.at}/`)) &&
      (!wish.type || one.type === wish.type) &&
      (!wish.status || one.status === wish.status) &&
      (wish.held === 'any' || heldBy(one) === wish.held) &&
      (words.length === 0 || says(one, words)),
  )
}

function says(device: Device, words: readonly string[]): boolean {
  const said = `${device.id} ${device.title} ${device.type} ${device.at}`.toLowerCase()
  return words.every((word) => said.includes(word))
}

/** Returns who holds a device now, the strongest of them. */
export function heldBy(device: Device): Exclude<Held, 'any'> {
  const tiers = new Set(device.holds.filter((one) => one.holds).map((one) => one.tier))
  if (tiers.has('human')) return 'person'
  return tiers.size > 0 ? 'app' : 'nobody'
}

export function typesOf(devices: readonly Device[]): string[] {
  return [...new Set(devices.map((one) => one.type))].sort()
}
