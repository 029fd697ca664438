/** What a room brings: its screens, and where they stand in the navigation. Each room is found by its `room.ts`. */
import type { Component } from 'vue'
import type { RouteRecordRaw } from 'vue-router'

import type { Verb } from '@/state/me'

export interface NavEntry {
  label: string
  to: string
  icon: Component
  /** From top to bottom: models 10, gallery 20, devices 30, apps 40, schedules 50, house 90. */
  order: number
  /** Shown only to those who may do this. */
  verb?: Verb
}

export interface Room {
  nav: NavEntry[]
  routes: RouteRecordRaw[]
}

/** Returns all rooms, as the build found them: `rooms/<name>/room.ts` with a default export. */
export function allRooms(): Room[] {
  const found = import.meta.glob<{ default: Room }>('./*/room.ts', { eager: true })
  return Object.values(found).map((module) => module.default)
}
