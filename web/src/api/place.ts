/**
 * Where the platform is, and how what is asked there is signed (ADR 40).
 *
 * Served by a platform, the page asks where it came from, and the browser's cookie signs. Files that lie elsewhere say in
 * `settings.json` beside them which platform they are for; then a token signs that is kept here and nowhere else: it is
 * gone with the tab.
 */
const SETTINGS = `${import.meta.env.BASE_URL}settings.json`

export const place = {
  /** The platform's origin; empty: the page's own. */
  base: import.meta.env.VITE_FAIRLEAD_API ?? '',
  token: '',
}

/** Returns the address of a path of the platform. */
export function at(path: string): string {
  return place.base + path
}

/** Asks the platform for `path`, signed where it is elsewhere. */
export function ask(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(at(path), { ...init, headers: { ...(init.headers as Record<string, string>), ...signature() } })
}

/** Returns the headers that say who asks. */
export function signature(): Record<string, string> {
  return place.token ? { authorization: `Bearer ${place.token}` } : {}
}

/** Reads which platform these files are for; where they do not say, it is the one that they came from. */
export async function readPlace(): Promise<void> {
  try {
    const answer = await fetch(SETTINGS, { cache: 'no-cache' })
    const told = ((await answer.json()) as { api?: unknown }).api
    if (typeof told === 'string' && told) place.base = new URL(told).origin
  } catch (error) {
    console.error(`${SETTINGS} is no JSON with "api": "https://HOST"`, error)
  }
}
