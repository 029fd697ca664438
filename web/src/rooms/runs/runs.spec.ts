import { expect, it } from 'vitest'

import { ME, screen, showAt, waitFor, within } from '@/test/harness'
import { listed, run } from '@/test/runs'
import { StreamStub } from '@/test/streams'

const WHY = { of: 'run-1', at: null, answer: 'mood is ready.', chain: [{ at: null, kind: 'schedule', id: 'sch-1', said: 'night: window opened' }] }
const ONE = { 'GET /api/v1/runs/run-1': run(), 'GET /api/v1/why': WHY }
const USER = { 'GET /api/v1/me': { ...ME, user: 'bob', roles: ['user'] } }
const SEER = { 'GET /api/v1/me': { ...ME, user: 'bob', roles: ['ai_developer'] } }

it('lists runs and finds those that fit; the wish is in the address', async () => {
  const failed = run({ id: 'run-2', app: 'door', status: 'failed', reason: '<script>alert(1)</script>', url: null })
  const { user, router, calls } = await showAt('/runs', {
    'GET /api/v1/runs': listed([run(), failed]),
    'GET /api/v1/apps': listed([]),
  })
  expect(await screen.findByRole('link', { name: 'mood@2 of night' })).toHaveAttribute('href', '/ui/runs/run-1')
  expect(screen.getByText('<script>alert(1)</script>')).toBeVisible()

  await user.selectOptions(screen.getByRole('combobox', { name: 'Status' }), 'failed')
  await waitFor(() => expect(screen.queryByRole('link', { name: 'mood@2 of night' })).toBeNull())
  expect(screen.getByRole('link', { name: 'door@2 of night' })).toBeVisible()
  expect(router.currentRoute.value.query).toEqual({ status: 'failed' })

  await user.selectOptions(screen.getByRole('combobox', { name: 'Status' }), 'live')
  await waitFor(() => expect(calls.at(-1)?.query.get('live')).toBe('true'))
})

it('says how a first run comes where there is none', async () => {
  await showAt('/runs', { 'GET /api/v1/runs': listed([]), 'GET /api/v1/apps': listed([]) })
  expect(await screen.findByText('Nothing ran yet')).toBeVisible()
  expect(screen.getByRole('link', { name: 'To the apps' })).toBeVisible()
})

it('tells what happened to a run and why, and follows it', async () => {
  await showAt('/runs/run-1', ONE)
  expect(await screen.findByText('mood is ready.')).toBeVisible()
  expect(screen.getByRole('list', { name: 'What led to it, latest last' })).toHaveTextContent('night: window opened')
  const timeline = screen.getByRole('region', { name: 'Timeline' })
  expect(within(timeline).getByText('lamps: lamp-9 is gone, lamp-2 takes over')).toBeVisible()
  expect(screen.getByRole('link', { name: 'lamp-2' })).toHaveAttribute('href', '/ui/devices/lamp-2')

  const stream = StreamStub.at('/api/v1/runs/run-1/events')
  stream.say('done', run({ status: 'failed', reason: 'exit 1', url: null, last_lines: ['<b>boom</b>'] }))
  expect(await screen.findByText('<b>boom</b>')).toBeVisible()
  expect(stream.readyState).toBe(StreamStub.CLOSED)
  expect(screen.queryByRole('button', { name: 'Stop' })).toBeNull()
})

it('is stopped once one has said so twice, and run again leads to the new run', async () => {
  const { user, calls, router } = await showAt('/runs/run-1', {
    ...ONE,
    'POST /api/v1/runs/run-1/stop': run({ status: 'stopping' }),
    'POST /api/v1/runs/run-1/again': run({ id: 'run-9' }),
    'GET /api/v1/runs/run-9': run({ id: 'run-9' }),
  })
  await user.click(await screen.findByRole('button', { name: 'Stop' }))
  const dialog = await screen.findByRole('dialog', { name: 'Stop this run of mood?' })
  expect(calls.some((one) => one.path.endsWith('/stop'))).toBe(false)
  await user.click(within(dialog).getByRole('button', { name: 'Stop' }))
  expect(await screen.findByText('It is being stopped')).toBeVisible()

  await user.click(screen.getByRole('button', { name: 'Run again' }))
  await user.click(within(await screen.findByRole('dialog')).getByRole('button', { name: 'Run again' }))
  await waitFor(() => expect(router.currentRoute.value.path).toBe('/runs/run-9'))
})

it.each([
  ['another user', USER, /It is ada's/],
  ['who may schedule nothing', SEER, /needs the role/],
])('%s is told why there is no way to stop it', async (_who, me, said) => {
  await showAt('/runs/run-1', { ...ONE, ...me })
  expect(await screen.findByText(said)).toBeVisible()
  expect(screen.queryByRole('button', { name: 'Stop' })).toBeNull()
})

it('shows its page in a frame of another origin, by a way in that is asked for', async () => {
  const url = 'http://night.apps.localhost/.fairlead/enter?word=w&next=/'
  const { user, calls } = await showAt('/runs/run-1/page', { ...ONE, 'POST /api/v1/runs/run-1/page': { url } })
  const frame = await screen.findByTitle('Page of mood')
  expect(frame).toHaveAttribute('src', url)
  expect(frame.getAttribute('sandbox')).not.toContain('top-navigation')
  await user.click(screen.getByRole('button', { name: 'Load again' }))
  await waitFor(() => expect(calls.filter((one) => one.path.endsWith('/page'))).toHaveLength(2))
})

it('says that a page is not there while its run is not running', async () => {
  const over = { ...ONE, 'GET /api/v1/runs/run-1': run({ status: 'succeeded', url: null }) }
  await showAt('/runs/run-1/page', over)
  expect(await screen.findByText(/this one is done/)).toBeVisible()
})

it('who may not read its log is told whose it is, and none is asked for', async () => {
  const { calls } = await showAt('/runs/run-1/logs', { ...ONE, ...USER })
  expect(await screen.findByText(/The log of this run is ada's/)).toBeVisible()
  expect(calls.some((one) => one.path.includes('/logs'))).toBe(false)
})

it('a line of a log that is a script stays text', async () => {
  const line = { at: '2026-11-22T08:00:00Z', source: 'run-1', level: 'info', said: '<script>alert(1)</script>' }
  const { user, calls } = await showAt('/runs/run-1/logs', { ...ONE, 'GET /api/v1/logs': listed([line]) })
  expect(await screen.findByText(line.said)).toBeVisible()
  StreamStub.at('/api/v1/logs/follow?of=run-1&level=info&grep=').say('line', { ...line, said: '<img src=x>' })
  expect(await screen.findByText('<img src=x>')).toBeVisible()
  expect(document.querySelector('img')).toBeNull()
  await user.selectOptions(screen.getByRole('combobox', { name: 'From level' }), 'error')
  await waitFor(() => expect(calls.at(-1)?.query.get('level')).toBe('error'))
})
