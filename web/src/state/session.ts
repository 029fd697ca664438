/** Who is signed in with this browser. The cookie itself is out of reach of scripts; the API says whose it is. */
import { reactive } from 'vue'

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
  return `${SIGN_IN}?next=${path}`
}

export type SignedIn = 'yes' | 'wrong' | 'too_many' | 'away'

/** Signs in on the sign-in page's own address, without leaving this page: what was typed here stays. */
export async function signIn(user: string, password: string): Promise<SignedIn> {
  try {
    const body = new URLSearchParams({ user, password, next: '/healthz' })
    const answer = await fetch(SIGN_IN, { method: 'POST', body, redirect: 'manual', credentials: 'same-origin' })
    if (answer.type === 'opaqueredirect' || answer.ok) return 'yes'
    return answer.status === 429 ? 'too_many' : answer.status === 401 ? 'wrong' : 'away'
  } catch {
    return 'away'
  }
}

/** Ends the session everywhere and leaves for the sign-in page. */
export async function signOut(): Promise<void> {
  await fetch('/sign-out', { method: 'POST', redirect: 'manual', credentials: 'same-origin' })
  location.assign(signInPath('/ui/'))
}
