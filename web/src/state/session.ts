/**
 * Who is signed in with this browser: by a cookie out of reach of scripts, the API says whose it is; or, where the platform
 * is elsewhere, by a token that this tab keeps.
 */
import { reactive } from 'vue'

import { ask, at, place } from '@/api/place'

export const SIGN_IN = '/sign-in'

export const session = reactive({
  /** Whether the platform said that nobody is signed in any more. */
  ended: false,
  /** Who was, to tell whether somebody else has come. */
  user: '',

  end(): void {
    this.ended = true
  },

  begin(user: string): void {
    this.ended = false
    this.user = user
  },
})

/** Returns where one signs in and comes back from to `path`. The way back is the last part of the query, as it is. */
export function signInPath(path: string): string {
  return at(`${SIGN_IN}?next=${path}`)
}

export type SignedIn = 'yes' | 'wrong' | 'too_many' | 'away'

/** Signs in without leaving this page: what was typed here stays. */
export async function signIn(user: string, password: string): Promise<SignedIn> {
  try {
    const answer = await (place.base ? signInElsewhere(user, password) : signInHere(user, password))
    if (answer.type === 'opaqueredirect' || answer.ok) return 'yes'
    return answer.status === 429 ? 'too_many' : WRONG.includes(answer.status) ? 'wrong' : 'away'
  } catch {
    return 'away'
  }
}

const WRONG = [401, 403]

function signInHere(user: string, password: string): Promise<Response> {
  const body = new URLSearchParams({ user, password, next: '/healthz' })
  return fetch(SIGN_IN, { method: 'POST', body, redirect: 'manual', credentials: 'same-origin' })
}

async function signInElsewhere(user: string, password: string): Promise<Response> {
  const body = JSON.stringify({ user, password })
  const answer = await fetch(at('/api/v1/login'), { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  if (answer.ok) place.token = ((await answer.json()) as { token: string }).token
  return answer
}

/** Ends the session everywhere and leaves for where one signs in. `token` is its id. */
export async function signOut(token: string): Promise<void> {
  if (place.base) {
    await ask(`/api/v1/tokens/${token}`, { method: 'DELETE' })
    place.token = ''
    return location.assign(import.meta.env.BASE_URL)
  }
  await fetch('/sign-out', { method: 'POST', redirect: 'manual', credentials: 'same-origin' })
  location.assign(signInPath('/ui/'))
}
