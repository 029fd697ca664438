import { expect, it } from 'vitest'

import { screen, showAt } from '@/test/harness'

const APP = { name: 'mood', owner: 'ada', summary: 'Light by mood', devices: { lamps: {} }, models: { mood: 'mood@production' } }
const RUN = { id: 'run-1', app: 'mood', version: '2', at: 'lab', status: 'failed', reason: 'exit 1', started_at: null }
const page = (items: object[]) => ({ items, next: null })

it('tells what can run, what ran, and why', async () => {
  const { user } = await showAt('/apps', {
    'GET /api/v1/apps': page([APP]),
    'GET /api/v1/runs': page([RUN]),
    'GET /api/v1/why': { of: 'run-1', at: null, answer: 'It failed: exit 1.', chain: [{ at: null, kind: 'schedule', id: 's', said: 'night' }] },
  })
  expect(await screen.findByText('Light by mood')).toBeVisible()
  await user.click(await screen.findByRole('button', { name: 'Why is run-1 as it is?' }))
  expect(await screen.findByText('It failed: exit 1.')).toBeVisible()
  expect(screen.getByRole('list', { name: 'What led to it' })).toHaveTextContent('night')
})

it('says how a first app comes where there is none', async () => {
  await showAt('/apps', { 'GET /api/v1/apps': page([]), 'GET /api/v1/runs': page([]) })
  expect(await screen.findByText('No apps yet')).toBeVisible()
  expect(screen.getByText('Nothing ran yet')).toBeVisible()
})

it('leads to the page of what runs, and to none of what does not', async () => {
  const running = { ...RUN, id: 'run-2', app: 'night', status: 'ready', url: 'http://night.apps.localhost' }
  const ended = { ...RUN, id: 'run-3', app: 'day', status: 'succeeded', url: 'http://day.apps.localhost' }
  await showAt('/apps', { 'GET /api/v1/apps': page([APP]), 'GET /api/v1/runs': page([running, ended]) })
  expect(await screen.findByRole('link', { name: 'night@2' })).toHaveAttribute('href', 'http://night.apps.localhost')
  expect(screen.queryByRole('link', { name: 'day@2' })).toBeNull()
})
