/** The one client of the API. Types come from openapi.json (`npm run api`), the session from the browser's cookie. */
import createClient, { defaultPathSerializer, type Middleware } from 'openapi-fetch'

import { connection } from '@/state/connection'
import { session } from '@/state/session'

import { ApiError, refusalOf, unreachable } from './errors'
import { place, readPlace, signature } from './place'
import type { components, paths } from './schema'

export type Schemas = components['schemas']

const watched: Middleware = {
  onRequest({ request }) {
    for (const [name, value] of Object.entries(signature())) request.headers.set(name, value)
  },
  onResponse({ response }) {
    heard(response)
  },
  onError({ error }) {
    // what this page itself took back says nothing of the platform
    if (!(error instanceof DOMException && error.name === 'AbortError')) connection.lost()
  },
}

/** Notes what an answer says of the session and of the platform; every call goes by here, those of models too. */
export function heard(response: Response): void {
  if (response.status === 401) session.end()
  if (response.status === 502 || response.status === 503) return
  connection.found()
}

function makeClient() {
  const made = createClient<paths>({
    baseUrl: place.base || globalThis.location?.origin || 'http://localhost',
    credentials: 'same-origin',
    fetch: (request) => globalThis.fetch(request),
    // the only names with a slash are places, which are paths; the front door takes no encoded one
    pathSerializer: (path, params) => defaultPathSerializer(path, params).replaceAll('%2F', '/'),
  })
  made.use(watched)
  return made
}

export let api = makeClient()

/** Has the client ask the platform that the page's files are for; before anything is asked. */
export async function findPlatform(): Promise<void> {
  await readPlace()
  api = makeClient()
}

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** Returns what the platform answered; throws {@link ApiError} for a refusal and where nothing answered. */
export async function ok<T>(asked: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>
  try {
    answer = await asked
  } catch (error) {
    if (error instanceof ApiError || (error instanceof DOMException && error.name === 'AbortError')) throw error
    throw unreachable()
  }
  if (!answer.response.ok) throw refusalOf(answer.response, answer.error)
  return answer.data as T
}
