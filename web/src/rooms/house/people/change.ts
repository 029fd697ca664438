/** Changes to people, told of: also where one is not yet in force at every front door. */
import { api, ok, type Schemas } from '@/api/client'
import { type Action, useAction } from '@/state/action'
import { toast } from '@/state/toasts'
import { person as texts } from '@/texts/house'

import type { Person } from '../queries'

export const REFRESHED = [['users'], ['tokens'], ['me']]

/** Says what is not in force yet. */
export function warn(view: { pending?: string | null }): void {
  if (view.pending) toast(texts.pending, 'plain', view.pending)
}

export function change(name: string, body: Schemas['UserChange']): Promise<Person> {
  return ok(api.PATCH('/api/v1/users/{name}', { params: { path: { name } }, body }))
}

/** Returns the change of one person as an action; `said` is told once it was made. */
export function useChange(said: (name: string) => string): Action<[string, Schemas['UserChange']]> {
  return useAction(
    async (name: string, body: Schemas['UserChange']) => {
      const view = await change(name, body)
      warn(view)
      return view
    },
    { said: (view) => said(view.name), refreshes: REFRESHED },
  )
}
