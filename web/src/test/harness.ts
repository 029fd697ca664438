/** Shows a screen or a component as it is in the page; the platform answers what a test says, by method and path. */
import { VueQueryPlugin } from '@tanstack/vue-query'
import userEvent from '@testing-library/user-event'
import { render } from '@testing-library/vue'
import { type Component, defineComponent, h } from 'vue'
import { TooltipProvider } from 'reka-ui'
import { createMemoryHistory } from 'vue-router'

import App from '@/App.vue'
import { makeRouter } from '@/router'
import { makeQueryClient } from '@/state/queries'

export { screen, waitFor, within } from '@testing-library/vue'

/** A body that is answered with 200, a refusal by `refused`, or what a function makes of the request. */
export type Reply = unknown
export interface Call {
  method: string
  path: string
  query: URLSearchParams
  headers: Headers
  body: unknown
}

export const ME = {
  user: 'ada',
  roles: ['ai_developer', 'app_developer', 'configurer', 'user'],
  token: 'tok-1',
  token_calls_today: 3,
  token_calls_per_day: null,
  opens_at: null,
  used: { calls_today: 3, calls_per_day: null, stored_bytes: 0, stored_mb: null },
}

/** Returns a refusal as the platform tells it. */
export function refused(status: number, code: string, message = code, more: object = {}): Response {
  return Response.json({ error: { code, message, hint: '', id: 'req-1', ...more } }, { status })
}

/**
 * Has `fetch` answer by `replies`: `'GET /api/v1/models'` to a body; a method alone may be left out for GET.
 * Returns all calls in their order. What is not there is 404.
 */
export function platform(replies: Record<string, Reply>): Call[] {
  const calls: Call[] = []
  const known: Record<string, Reply> = { 'GET /api/v1/me': ME, ...replies }
  globalThis.fetch = async (input, init) => {
    const request = new Request(new URL(input instanceof Request ? input.url : String(input), 'http://localhost'), {
      method: input instanceof Request ? input.method : (init?.method ?? 'GET'),
      headers: input instanceof Request ? input.headers : init?.headers,
    } as RequestInit)
    const url = new URL(request.url)
    const body = input instanceof Request ? await input.text() : init?.body
    const call = { method: request.method, path: url.pathname, query: url.searchParams, headers: request.headers, body: read(body) }
    calls.push(call)
    const key = `${call.method} ${call.path}`
    if (!(key in known)) return refused(404, 'not_found', `no reply to ${key}`)
    const reply = known[key]
    const made: unknown = typeof reply === 'function' ? await (reply as (call: Call) => unknown)(call) : reply
    if (made instanceof Response) return made.clone()
    return made === undefined ? new Response(null, { status: 204 }) : Response.json(made)
  }
  return calls
}

function read(body: unknown): unknown {
  if (typeof body !== 'string') return body ?? null
  try {
    return JSON.parse(body)
  } catch {
    return body
  }
}

function plugins(path: string) {
  const router = makeRouter(createMemoryHistory('/ui/'))
  void router.push(path)
  const queryClient = makeQueryClient(0)
  return { router, global: { plugins: [router, [VueQueryPlugin, { queryClient }] as [typeof VueQueryPlugin, object]] } }
}

/** Shows the whole page at `path`, as who is signed in sees it. */
export async function showAt(path: string, replies: Record<string, Reply>) {
  const calls = platform(replies)
  const { router, global } = plugins(path)
  await router.isReady()
  render(App, { global })
  return { calls, router, user: userEvent.setup() }
}

/** Shows one component with its properties. */
export async function show(component: Component, props: Record<string, unknown> = {}, replies: Record<string, Reply> = {}) {
  const calls = platform(replies)
  const { router, global } = plugins('/')
  const shown = defineComponent(() => () => h(TooltipProvider, () => h(component, props)))
  const view = render(shown, { global })
  return { calls, router, user: userEvent.setup(), ...view }
}
