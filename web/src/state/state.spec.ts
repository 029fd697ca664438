import { expect, it, vi } from 'vitest'

import { ME, refused, screen, showAt, waitFor } from '@/test/harness'
import { model, modelShort, version } from '@/test/samples'
import { StreamStub } from '@/test/streams'

import { connection } from './connection'

it('a platform that is away is told of, and everything is asked again once it is back', async () => {
  let isAway = false
  let asked = 0
  const gone = (): never => {
    throw new TypeError('Failed to fetch')
  }
  const { user } = await showAt('/models', {
    'GET /api/v1/models': () => {
      asked += 1
      return isAway ? gone() : { items: [modelShort({ summary: `asked ${asked}` })], next: null }
    },
    'GET /readyz': () => (isAway ? gone() : { ok: true }),
    'GET /api/v1/models/plane-delay': () => (isAway ? gone() : model()),
  })
  await screen.findByText('asked 1')
  isAway = true
  await user.click(screen.getByRole('link', { name: 'plane-delay' }))
  expect(await screen.findByText(/does not answer\. What you see may be old/)).toBeVisible()

  isAway = false
  await waitFor(() => expect(connection.away).toBe(false))
  expect(await screen.findByRole('heading', { name: 'plane-delay', level: 1 })).toBeVisible()
})

it('what the journal tells of is asked for again, many events at once', async () => {
  let state = 'building'
  let asked = 0
  await showAt('/models', {
    'GET /api/v1/models': () => {
      asked += 1
      return { items: [modelShort({ status: state })], next: null }
    },
  })
  expect(await screen.findByText('being prepared')).toBeVisible()
  state = 'ready'
  for (let step = 0; step < 12; step++) StreamStub.at('/api/v1/events').say('version', {})

  expect(await screen.findByText('ready')).toBeVisible()
  expect(asked).toBe(2)
})

it('a tab that is not looked at listens to nothing', async () => {
  await showAt('/models', { 'GET /api/v1/models': { items: [modelShort()], next: null } })
  await screen.findByRole('link', { name: 'plane-delay' })
  const hidden = vi.spyOn(document, 'hidden', 'get').mockReturnValue(true)
  document.dispatchEvent(new Event('visibilitychange'))
  expect(() => StreamStub.at('/api/v1/events')).toThrow()

  hidden.mockReturnValue(false)
  document.dispatchEvent(new Event('visibilitychange'))
  expect(StreamStub.at('/api/v1/events')).toBeDefined()
})

it('who may not move aliases is offered nothing', async () => {
  const two = model({ versions: [version({ version: '2' }), version()] })
  const me = { ...ME, user: 'zoe', roles: ['user'] }
  await showAt('/models/plane-delay/versions', { 'GET /api/v1/models/plane-delay': two, 'GET /api/v1/me': me })
  expect(await screen.findByRole('cell', { name: '2' })).toBeVisible()
  expect(screen.queryByRole('button', { name: 'Answer with this one' })).toBeNull()
})

it('a refusal is told in the words of the platform', async () => {
  const two = model({ versions: [version({ version: '2' }), version()] })
  const replies = {
    'GET /api/v1/models/plane-delay': two,
    'PUT /api/v1/models/plane-delay/aliases/production': refused(409, 'version_not_ready', 'version 2 is not ready'),
  }
  const { user } = await showAt('/models/plane-delay/versions', replies)
  await user.click(await screen.findByRole('button', { name: 'Answer with this one' }))
  await user.click(await screen.findByRole('button', { name: 'Let it answer' }))
  expect(await screen.findByText('version 2 is not ready')).toBeVisible()
})

it('a line of a log that is a script is text', async () => {
  const said = '<script>alert(1)</script>'
  await showAt('/models/plane-delay/logs', {
    'GET /api/v1/models/plane-delay': model(),
    'GET /api/v1/logs': { items: [{ at: '2026-11-20T10:00:00Z', level: 'info', source: 'plane-delay@1', said }], next: null },
  })
  expect(await screen.findByText(said)).toBeVisible()

  const more = '<b>more</b>'
  await waitFor(() => StreamStub.all.some((one) => one.url.includes('/logs/follow')) || Promise.reject(new Error('no stream')))
  StreamStub.all.find((one) => one.url.includes('/logs/follow'))?.say('line', { at: null, level: 'info', source: 'x', said: more })
  expect(await screen.findByText(more)).toBeVisible()
  expect(document.querySelector('script')).toBeNull()
})
