/** Which entries the navigation of who is signed in shows. */
import { computed, type ComputedRef } from 'vue'

import { allRooms, type NavEntry } from '@/rooms/room'
import { useMay } from '@/state/me'

/** Returns the entries of all rooms that one may open, from top to bottom. */
export function useNav(): ComputedRef<NavEntry[]> {
  const may = useMay()
  const entries = allRooms()
    .flatMap((room) => room.nav)
    .sort((one, other) => one.order - other.order)
  return computed(() => entries.filter((one) => one.verb === undefined || may(one.verb)))
}
