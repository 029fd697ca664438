import { expect, it } from 'vitest'

import { refused, screen, showAt, waitFor, within } from '@/test/harness'
import { model, modelShort, version } from '@/test/samples'
import { StreamStub } from '@/test/streams'

const LISTED = { 'GET /api/v1/models': { items: [modelShort(), modelShort({ name: 'mood', task: 'audio' })], next: null } }
const ONE = { 'GET /api/v1/models/plane-delay': model() }

it('lists models, and finds those that fit; the wish is in the address', async () => {
  const { user, router } = await showAt('/models', LISTED)
  expect(await screen.findByRole('link', { name: 'plane-delay' })).toBeVisible()

  await user.type(screen.getByRole('searchbox', { name: /search/i }), 'audio')

  await waitFor(() => expect(screen.queryByRole('link', { name: 'plane-delay' })).toBeNull())
  expect(screen.getByRole('link', { name: 'mood' })).toBeVisible()
  expect(router.currentRoute.value.query).toEqual({ q: 'audio' })
})

it('says how a first model comes where there is none', async () => {
  await showAt('/models', { 'GET /api/v1/models': { items: [], next: null } })
  expect(await screen.findByText('No models yet')).toBeVisible()
})

it('says what was refused, and asks again when told so', async () => {
  let tries = 0
  const { user } = await showAt('/models', {
    'GET /api/v1/models': () => (++tries === 1 ? refused(500, 'internal', 'something failed') : LISTED['GET /api/v1/models']),
  })
  expect(await screen.findByRole('alert')).toHaveTextContent('something failed')
  await user.click(screen.getByRole('button', { name: 'Try again' }))
  expect(await screen.findByRole('link', { name: 'plane-delay' })).toBeVisible()
})

it('a form of the signature sends what was filled in, and shows the answer', async () => {
  const { user, calls } = await showAt('/models/plane-delay', {
    ...ONE,
    'POST /v1/models/plane-delay/predict': { late: true, probability: 0.56 },
  })
  await user.click(await screen.findByRole('radio', { name: 'AA' }))
  await user.click(screen.getByRole('button', { name: 'Run' }))

  expect(await within(screen.getByRole('region', { name: 'Answer' })).findByText('Late: yes')).toBeVisible()
  expect(calls.find((one) => one.method === 'POST')?.body).toEqual({ carrier: 'AA', month: 6 })
})

it('what is wrong stands at its field: what the page knows before, what the platform says after', async () => {
  const { user, calls } = await showAt('/models/plane-delay', {
    ...ONE,
    'POST /v1/models/plane-delay/predict': refused(422, 'invalid_input', 'carrier: no such', {
      problems: [{ path: 'carrier', rule: 'enum', message: 'no such carrier', hint: '' }],
    }),
  })
  const month = await screen.findByRole('spinbutton', { name: 'Month' })
  await user.clear(month)
  await user.type(month, '13')
  await user.click(screen.getByRole('button', { name: 'Run' }))
  expect(await screen.findByText('at most 12')).toBeVisible()
  expect(calls.some((one) => one.method === 'POST')).toBe(false)

  await user.clear(month)
  await user.type(month, '7')
  await user.click(screen.getByRole('button', { name: 'Run' }))
  expect(await screen.findByText('no such carrier')).toBeVisible()
})

it('a session that ends in mid-form is renewed over the page; what was typed is sent', async () => {
  let isIn = false
  const { user, calls } = await showAt('/models/plane-delay', {
    ...ONE,
    'POST /v1/models/plane-delay/predict': () => (isIn ? { late: false } : refused(401, 'token_expired')),
    'POST /sign-in': () => {
      isIn = true
      return new Response('signed in')
    },
  })
  await user.click(await screen.findByRole('radio', { name: 'AA' }))
  await user.click(screen.getByRole('button', { name: 'Run' }))
  const dialog = await screen.findByRole('dialog', { name: 'Your session has ended' })
  await user.type(within(dialog).getByLabelText('Password'), 'secret')
  await user.click(within(dialog).getByRole('button', { name: 'Sign in' }))
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull())

  await user.click(screen.getByRole('button', { name: 'Run' }))
  await waitFor(() => expect(calls.filter((one) => one.path.endsWith('/predict')).at(-1)?.body).toEqual({ carrier: 'AA', month: 6 }))
  expect(calls.find((one) => one.path === '/sign-in')?.body?.toString()).toContain('user=ada')
})

it('a job is followed step by step to its result', async () => {
  const job = { id: 'job-1', status: 'queued', reason: 'waits', version: '1', progress: null, error: null }
  const { user } = await showAt('/models/plane-delay', {
    ...ONE,
    'POST /v1/models/plane-delay/jobs': job,
    'GET /api/v1/jobs/job-1/result': { late: true, probability: 0.7 },
  })
  await user.click(await screen.findByRole('checkbox', { name: /run as a job/i }))
  await user.click(screen.getByRole('button', { name: 'Run' }))
  await waitFor(() => StreamStub.at('/api/v1/jobs/job-1/events'))
  const stream = StreamStub.at('/api/v1/jobs/job-1/events')

  stream.say('progress', { ...job, status: 'running', reason: 'works', progress: { step: 3, total: 20, note: 'steps' } })
  expect(await screen.findByText(/3 \/ 20/)).toBeVisible()
  stream.say('done', { ...job, status: 'succeeded' })

  expect(await screen.findByText('Late: yes')).toBeVisible()
  expect(stream.readyState).toBe(StreamStub.CLOSED)
})

it('a name that is HTML is text', async () => {
  const summary = '<img src=x onerror=alert(1)>'
  await showAt('/models', { 'GET /api/v1/models': { items: [modelShort({ summary })], next: null } })
  expect(await screen.findByText(summary)).toBeVisible()
  expect(document.querySelector('img')).toBeNull()
})

it('a model that does not answer says so and offers no run', async () => {
  const failed = model({ versions: [version({ status: 'failed', reason: 'it broke' })] })
  await showAt('/models/plane-delay', { 'GET /api/v1/models/plane-delay': failed })
  expect(await screen.findByText(/does not answer/)).toBeVisible()
  expect(screen.getByRole('button', { name: 'Run' })).toBeDisabled()
})

const KEPT = { id: 'gal-1', title: '', links: { self: '/api/v1/gallery/gal-1' } }

it('an answer is kept on purpose, with what was asked and by whom it is seen, and led to', async () => {
  const { user, calls } = await showAt('/models/plane-delay', {
    ...ONE,
    'POST /v1/models/plane-delay/predict': () =>
      Response.json({ late: true, probability: 0.56 }, { headers: { 'x-fairlead-version': '3' } }),
    'POST /api/v1/gallery': KEPT,
  })
  await user.click(await screen.findByRole('radio', { name: 'AA' }))
  await user.click(screen.getByRole('button', { name: 'Run' }))
  await user.click(await screen.findByRole('button', { name: 'Keep' }))
  const dialog = await screen.findByRole('dialog', { name: 'Keep this answer' })
  await user.type(within(dialog).getByLabelText(/Title/), 'Late again')
  await user.click(within(dialog).getByRole('radio', { name: /Team/ }))
  await user.click(within(dialog).getByRole('button', { name: 'Keep' }))

  expect(await screen.findByRole('link', { name: 'Open it in the gallery' })).toHaveAttribute('href', '/ui/gallery/gal-1')
  await waitFor(() => expect(screen.getByRole('link', { name: 'Open it in the gallery' })).toHaveFocus())
  expect(calls.find((one) => one.path === '/api/v1/gallery')?.body).toEqual({
    model: 'plane-delay@3',
    endpoint: 'predict',
    inputs: { carrier: 'AA', month: 6 },
    answer: { late: true, probability: 0.56 },
    title: 'Late again',
    visibility: 'team',
  })
})

it('an answer that is a picture is kept as one; what is too long says how it is kept all the same', async () => {
  const { user, calls } = await showAt('/models/plane-delay', {
    ...ONE,
    'POST /v1/models/plane-delay/predict': () => new Response('png', { headers: { 'content-type': 'image/png' } }),
    'POST /api/v1/gallery': refused(413, 'body_too_large', 'the body is larger'),
  })
  await user.click(await screen.findByRole('radio', { name: 'AA' }))
  await user.click(screen.getByRole('button', { name: 'Run' }))
  await user.click(await screen.findByRole('button', { name: 'Keep' }))
  await user.click(within(await screen.findByRole('dialog')).getByRole('button', { name: 'Keep' }))

  expect(await screen.findByText(/Run it as a job and keep that/)).toBeVisible()
  const body = calls.find((one) => one.path === '/api/v1/gallery')?.body as { answer: string }
  expect(body.answer).toMatch(/^data:image\/png;base64,/)
})

it('what makes pictures runs as a job unless told otherwise, and that job is kept', async () => {
  const painter = model({ card: { task: 'text-to-image' } })
  const job = { id: 'job-1', status: 'queued', reason: 'waits', version: '1', progress: null, error: null }
  const { user, calls } = await showAt('/models/plane-delay', {
    'GET /api/v1/models/plane-delay': painter,
    'POST /v1/models/plane-delay/jobs': job,
    'GET /api/v1/jobs/job-1/result': { picture: 'data:image/png;base64,AA==', seed: 4 },
    'POST /api/v1/gallery': KEPT,
  })
  await user.click(await screen.findByRole('radio', { name: 'AA' }))
  await user.click(screen.getByRole('button', { name: 'Run' }))
  await waitFor(() => StreamStub.at('/api/v1/jobs/job-1/events'))
  expect(screen.getByText('waits')).toBeVisible()
  StreamStub.at('/api/v1/jobs/job-1/events').say('partial', { piece: { preview: 'data:image/png;base64,BB==' } })
  expect(await screen.findByRole('img', { name: /Picture/ })).toHaveAttribute('src', 'data:image/png;base64,BB==')
  StreamStub.at('/api/v1/jobs/job-1/events').say('done', { ...job, status: 'succeeded' })
  await user.click(await screen.findByRole('button', { name: 'Keep' }))
  await user.click(within(await screen.findByRole('dialog')).getByRole('button', { name: 'Keep' }))

  await screen.findByRole('link', { name: 'Open it in the gallery' })
  expect(calls.find((one) => one.path === '/api/v1/gallery')?.body).toMatchObject({ job: 'job-1', visibility: 'private' })
})

it.each([
  [503, 'replica_gone', 'the replica that had the call is gone', 'call again'],
  [413, 'body_too_large', 'the body has more than 100 bytes', 'send less at once'],
])('a call that is refused with %i says why and what next, and runs again when told so', async (status, code, message, hint) => {
  let tries = 0
  const { user } = await showAt('/models/plane-delay', {
    ...ONE,
    'POST /v1/models/plane-delay/predict': () => (++tries === 1 ? refused(status, code, message, { hint }) : { late: false }),
  })
  await user.click(await screen.findByRole('radio', { name: 'AA' }))
  await user.click(screen.getByRole('button', { name: 'Run' }))
  expect(await screen.findByText(message)).toBeVisible()
  expect(screen.getByText(hint)).toBeVisible()

  await user.click(screen.getByRole('button', { name: 'Try again' }))
  expect(await screen.findByText('No')).toBeVisible()
})
