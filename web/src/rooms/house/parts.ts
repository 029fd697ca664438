/** Which parts the house has for whom. Pure. */
import { house } from '@/texts/house'

export type Part = keyof typeof house.tabs
export const PARTS = Object.keys(house.tabs) as Part[]

/** Returns the parts that are offered: the audit to who may read it, and to who came to its address all the same. */
export function partsFor(seesAudit: boolean, at: Part): Part[] {
  return PARTS.filter((one) => one !== 'audit' || seesAudit || at === 'audit')
}
