import { expect, it } from 'vitest'

import { entry, job, letter, page, someone, status, system, token } from '@/test/house'
import { ME, refused, screen, showAt, waitFor, within } from '@/test/harness'
import { StreamStub } from '@/test/streams'

const OVER = { 'GET /api/v1/status': status(), 'GET /api/v1/system': system(), 'GET /api/v1/replicas': page([]) }
const ZOE = { 'GET /api/v1/me': { ...ME, user: 'zoe', roles: ['user'], token: 'tok-8' } }
const PEOPLE = { 'GET /api/v1/users': page([someone(), someone({ name: 'ada', roles: ['configurer'] })]), 'GET /api/v1/tokens': page([token()]) }

it('shows what runs and what it takes, and what is wrong', async () => {
  const replica = { replica: 'r1', model: 'weather', version: '2', node: 'local', pid: 9, status: 'ready', since: '', restarts: 0, in_flight: 1, served: 8, memory_mb: 90 }
  const { calls } = await showAt('/house', {
    ...OVER,
    'GET /api/v1/status': status({ troubles: ['control on local is waiting'] }),
    'GET /api/v1/replicas': page([replica]),
  })
  expect(await screen.findByText('control on local is waiting')).toBeVisible()
  expect(screen.getByText('41.9 MB')).toBeVisible()
  expect(screen.getByText('<b>exit 1</b>')).toBeVisible()
  expect(await screen.findByRole('meter', { name: 'Memory of local' })).toHaveAttribute('aria-valuenow', '25')
  expect(await screen.findByRole('link', { name: 'weather@2' })).toHaveAttribute('href', '/ui/models/weather/replicas')
  expect(calls.some((one) => one.path.includes('/jobs') || one.path.includes('/audit'))).toBe(false)
})

it('leads to the dead letters, a page at a time, and replays one', async () => {
  const { user, router, calls } = await showAt('/house/jobs', {
    ...OVER,
    'GET /api/v1/jobs': (call: { query: URLSearchParams }) =>
      call.query.get('before') ? page([job({ id: 'job-0' })]) : page([job(), job({ id: 'job-2', status: 'running', error: null })], 'job-1'),
    'POST /api/v1/jobs/job-1/replay': job({ status: 'queued' }),
  })
  expect(await screen.findByText('<img src=x> is no weather')).toBeVisible()
  await user.click(screen.getByRole('button', { name: 'Replay job-1' }))
  expect(await screen.findByText('job-1 is queued again')).toBeVisible()
  expect(screen.getByRole('button', { name: 'Cancel job-2' })).toBeVisible()

  await user.click(screen.getByRole('link', { name: 'Older' }))
  expect(await screen.findByRole('link', { name: 'job-0' })).toBeVisible()
  expect(router.currentRoute.value.query).toEqual({ before: 'job-1' })
  await user.click(screen.getByRole('link', { name: /Dead letters 1,200/ }))
  await waitFor(() => expect(calls.at(-1)?.query.get('status')).toBe('failed'))
  expect(router.currentRoute.value.query).toEqual({ status: 'failed' })
})

it('replays a page of dead letters, and says what was refused', async () => {
  const { user } = await showAt('/house/jobs?status=failed', {
    ...OVER,
    'GET /api/v1/jobs': page([job(), job({ id: 'job-2' })]),
    'POST /api/v1/jobs/job-1/replay': job({ status: 'queued' }),
    'POST /api/v1/jobs/job-2/replay': refused(404, 'no_such_model', 'there is no model weather'),
  })
  await user.click(await screen.findByRole('button', { name: 'Replay these 2' }))
  await user.click(within(await screen.findByRole('dialog')).getByRole('button', { name: 'Replay' }))
  expect(await screen.findByText('1 job is queued again')).toBeVisible()
  expect(await screen.findByText('1 could not be replayed: there is no model weather')).toBeVisible()
})

it('follows one job to its result', async () => {
  let now = job({ status: 'running', error: null, finished_at: null })
  await showAt('/house/jobs/job-1', { 'GET /api/v1/jobs/job-1': () => now, 'GET /api/v1/why': { of: 'job-1', at: null, answer: 'It runs.', chain: [] } })
  expect(await screen.findByText('It runs.')).toBeVisible()
  now = job({ status: 'succeeded', error: null, download: { url: 'http://localhost/links/jobs/job-1', expires_at: null } })
  StreamStub.at('/api/v1/jobs/job-1/events').say('done', now)
  expect(await screen.findByRole('link', { name: 'Get the result' })).toHaveAttribute('href', 'http://localhost/links/jobs/job-1')
})

it('says that there are no dead letters', async () => {
  await showAt('/house/jobs?status=failed', { ...OVER, 'GET /api/v1/jobs': page([]) })
  expect(await screen.findByText('No dead letters')).toBeVisible()
})

it('shows promises and what is left of their budgets', async () => {
  const alert = { name: 'fast', severity: 'page', windows: ['1h', '5m'], threshold: 14.4, firing: true, since: null, resolved_at: null }
  const windows = [{ window: '1h', valid: 10, bad: 5, by: 'requests', burn_rate: 20.5 }]
  const objectives = [{ objective: 'latency', said: '99 % below 250 ms', target: 0.99, attainment: 0.5, budget_left: -0.2, windows, alerts: [alert] }]
  await showAt('/house/objectives', { 'GET /api/v1/objectives': page([{ model: 'weather', objectives }]) })
  expect(await screen.findByRole('link', { name: 'weather' })).toHaveAttribute('href', '/ui/models/weather/objective')
  expect(screen.getByText('-20 %')).toBeVisible()
  expect(screen.getByText('20.5 × in 1h')).toBeVisible()
  expect(screen.getByText('page')).toBeVisible()
})

it('adds a person, whose password is shown once', async () => {
  const { user, calls } = await showAt('/house/users', { ...PEOPLE, 'POST /api/v1/users': someone({ name: 'mia', password: 'sesame-42' }) })
  await user.click(await screen.findByRole('button', { name: 'Add a person' }))
  await user.type(screen.getByRole('textbox', { name: 'Name' }), 'mia')
  await user.click(screen.getByRole('checkbox', { name: 'App developer' }))
  await user.click(screen.getByRole('button', { name: 'Add' }))
  expect(await screen.findByText('sesame-42')).toBeVisible()
  expect(calls.find((one) => one.method === 'POST')?.body).toEqual({ name: 'mia', roles: ['user', 'app_developer'] })
  await user.click(screen.getByRole('button', { name: 'I have kept it' }))
  await waitFor(() => expect(screen.queryByText('sesame-42')).toBeNull())
})

it('changes roles and quotas, and tells what is not in force yet', async () => {
  const { user, calls } = await showAt('/house/users/zoe', { ...PEOPLE, 'PATCH /api/v1/users/zoe': someone({ pending: 'node b is silent' }) })
  await user.click(await screen.findByRole('checkbox', { name: 'Configurer' }))
  await user.click(screen.getByRole('button', { name: 'Save' }))
  expect(await screen.findByText('Roles of zoe are changed')).toBeVisible()
  expect(screen.getByText('node b is silent')).toBeVisible()
  expect(calls.find((one) => one.method === 'PATCH')?.body).toEqual({ roles: ['user', 'configurer'] })

  await user.click(screen.getByRole('button', { name: 'Change the quotas' }))
  await user.selectOptions(screen.getByRole('combobox', { name: 'Calls a day' }), 'figure')
  await user.type(screen.getByRole('textbox', { name: 'Calls a day, how many' }), '12')
  await user.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Save' }))
  await waitFor(() => expect(calls.filter((one) => one.method === 'PATCH').at(-1)?.body).toEqual({ calls_per_day: 12 }))
})

it('makes a token that is shown once, and revokes one', async () => {
  const { user, calls } = await showAt('/house/users/zoe', {
    ...PEOPLE,
    'GET /api/v1/system': system(),
    'POST /api/v1/tokens': token({ token: 'fl_secret' }),
    'DELETE /api/v1/tokens/tok-9': token(),
  })
  await user.click(await screen.findByRole('button', { name: 'Make a token' }))
  await user.type(screen.getByRole('textbox', { name: 'What for' }), 'ci')
  await user.click(screen.getByRole('button', { name: 'Make it' }))
  expect(await screen.findByText('fl_secret')).toBeVisible()
  expect(calls.find((one) => one.method === 'POST')?.body).toEqual({ label: 'ci', roles: ['user'], user: 'zoe' })
  await user.click(screen.getByRole('button', { name: 'I have kept it' }))

  await user.click(await screen.findByRole('button', { name: 'Revoke ci' }))
  await user.click(within(await screen.findByRole('dialog', { name: 'Revoke ci?' })).getByRole('button', { name: 'Revoke' }))
  expect(await screen.findByText('ci is revoked')).toBeVisible()
})

it('who manages nobody sees themselves, without a way to more', async () => {
  const own = { ...ZOE, ...PEOPLE, 'GET /api/v1/users': page([someone()]) }
  await showAt('/house/users/zoe', own)
  expect(await screen.findByText('Only a configurer changes roles and quotas.')).toBeVisible()
  for (const name of ['Save', 'Change the quotas', 'Shut out', 'Remove']) expect(screen.queryByRole('button', { name })).toBeNull()
  expect(screen.getByRole('button', { name: 'Make a token' })).toBeVisible()
})

it('a wrong old password is told in place', async () => {
  const own = { ...ZOE, ...PEOPLE, 'GET /api/v1/users': page([someone()]) }
  const { user, calls } = await showAt('/house/users/zoe', { ...own, 'POST /sign-in': refused(401, 'sign_in_failed') })
  await user.click(await screen.findByRole('button', { name: 'Change your password' }))
  await user.type(screen.getByLabelText('Old password'), 'wrong')
  await user.type(screen.getByLabelText('New password'), 'a long new one')
  await user.click(screen.getByRole('button', { name: 'Save' }))
  expect(await screen.findByText('That is not your old password.')).toBeVisible()
  expect(calls.some((one) => one.method === 'PATCH')).toBe(false)
})

it('lists letters without their texts, and reads one as text', async () => {
  const { user, calls } = await showAt('/house/mail', {
    'GET /api/v1/mail': page([letter()]),
    'GET /api/v1/mail/4': { ...letter(), text: '<script>alert(1)</script>' },
  })
  await user.click(await screen.findByRole('link', { name: 'Read “It fires”' }))
  expect(await screen.findByText('<script>alert(1)</script>')).toBeVisible()
  expect(calls.find((one) => one.path === '/api/v1/mail')?.query.get('view')).toBe('short')
})

it('tells who did what, by kind and by whom, and goes on as it happens', async () => {
  let entries = [entry()]
  const { user, calls } = await showAt('/house/audit', { 'GET /api/v1/audit': () => page(entries) })
  expect(await screen.findByText('added as user')).toBeVisible()
  expect(screen.getByRole('link', { name: 'zoe' })).toHaveAttribute('href', '/ui/house/users/zoe')
  entries = [entry({ id: 10, said: 'disabled' }), ...entries]
  StreamStub.at('/api/v1/events').say('user', entry({ id: 10 }))
  expect(await screen.findByText('disabled')).toBeVisible()
  await user.selectOptions(screen.getByRole('combobox', { name: 'Kind' }), 'token')
  await waitFor(() => expect(calls.at(-1)?.query.get('kind')).toBe('token'))
})

it('who may not read the audit is told so, and it is not asked for', async () => {
  const { calls } = await showAt('/house/audit', ZOE)
  expect(await screen.findByText('The audit is the configurers’')).toBeVisible()
  expect(calls.some((one) => one.path.includes('audit'))).toBe(false)
})

it('says what bounds everybody and how strongly bundles are held apart', async () => {
  await showAt('/house/limits', OVER)
  expect(await screen.findByText('a user id of its own: not root')).toBeVisible()
  expect(screen.getByText('no limit')).toBeVisible()
  expect(screen.getByText('something_new', { selector: 'td' })).toBeVisible()
})

it('an error has its own face, and a way to try again', async () => {
  const { user } = await showAt('/house/mail', { 'GET /api/v1/mail': refused(500, 'internal', 'it broke') })
  expect(await screen.findByText('it broke')).toBeVisible()
  await user.click(screen.getByRole('button', { name: 'Try again' }))
  expect(await screen.findByText('it broke')).toBeVisible()
})
