import { expect, it } from 'vitest'

import { ME, refused, screen, showAt, waitFor, within } from '@/test/harness'
import { app, appVersion, listed, run } from '@/test/runs'

const ONE = { 'GET /api/v1/apps/mood': app() }
const USER = { 'GET /api/v1/me': { ...ME, user: 'bob', roles: ['user'] } }

it('is a catalogue that is searched by what apps need, too', async () => {
  const door = app({ name: 'door', summary: '<img src=x onerror=alert(1)>', devices: { lock: { type: 'lock' } }, models: {}, url: 'http://d' })
  const { user, router } = await showAt('/apps', { 'GET /api/v1/apps': listed([app(), door]) })
  expect(await screen.findByRole('link', { name: 'mood' })).toHaveAttribute('href', '/ui/apps/mood')
  expect(screen.getByText('<img src=x onerror=alert(1)>')).toBeVisible()
  expect(screen.getByRole('link', { name: 'Push an app' })).toBeVisible()

  await user.type(screen.getByRole('searchbox'), 'lock')
  await waitFor(() => expect(screen.queryByRole('link', { name: 'mood' })).toBeNull())
  expect(screen.getByRole('link', { name: 'door' })).toBeVisible()
  expect(router.currentRoute.value.query).toEqual({ q: 'lock' })

  await user.selectOptions(screen.getByRole('combobox', { name: 'State' }), 'able')
  expect(await screen.findByText('No app fits')).toBeVisible()
})

it('says how a first app comes where there is none, and offers no push to who may not', async () => {
  await showAt('/apps', { 'GET /api/v1/apps': listed([]), ...USER })
  expect(await screen.findByText('No apps yet')).toBeVisible()
  expect(screen.queryByRole('link', { name: 'Push an app' })).toBeNull()
})

it('tells who made an app, what it needs and what can be set', async () => {
  await showAt('/apps/mood', { ...ONE, 'GET /api/v1/apps/mood/readme': { version: '2', text: '# Hall\n<img src=x>' } })
  expect(await screen.findByText('It listens.')).toBeVisible()
  const roles = screen.getByRole('region', { name: 'What it needs' })
  expect(within(roles).getByRole('link', { name: 'lamp@1' })).toHaveAttribute('href', '/ui/devices/types/lamp')
  expect(within(roles).getByText('one or more, shared with other apps')).toBeVisible()
  expect(within(roles).getByRole('link', { name: 'mood@production' })).toHaveAttribute('href', '/ui/models/mood')
  expect(screen.getByRole('region', { name: 'Parameters' })).toHaveTextContent('1 to 120')
  expect(screen.getByText('javascript:alert(1)').closest('a')).toBeNull()
  expect(await screen.findByRole('region', { name: 'Readme' })).toHaveTextContent('<img src=x>')
  expect(screen.getByRole('link', { name: 'Schedule it' })).toHaveAttribute('href', '/ui/schedules/new?app=mood')
})

it('versions are moved and rolled back by whose app it is', async () => {
  const { user, calls } = await showAt('/apps/mood/versions', {
    ...ONE,
    'PUT /api/v1/apps/mood/aliases/production': {},
    'POST /api/v1/apps/mood/rollback': { alias: 'production', from: '2', to: '1' },
  })
  await user.click(await screen.findByRole('button', { name: 'Make it production: 1' }))
  await user.click(within(await screen.findByRole('dialog')).getByRole('button', { name: 'Make it production' }))
  await waitFor(() => expect(calls.find((one) => one.method === 'PUT')?.body).toEqual({ version: '1' }))
  await user.click(screen.getByRole('button', { name: 'Roll back' }))
  await user.click(within(await screen.findByRole('dialog')).getByRole('button', { name: 'Roll back' }))
  expect(await screen.findByText('Rolled back')).toBeVisible()
})

it('a version that failed shows what it wrote, as text', async () => {
  const failed = appVersion('3', { status: 'failed', reason: 'it raised', ready_at: null, last_lines: ['<b>boom</b>'] })
  await showAt('/apps/mood/versions', { ...USER, 'GET /api/v1/apps/mood': app({ versions: [failed], aliases: {} }) })
  expect(await screen.findByText('<b>boom</b>')).toBeVisible()
  expect(screen.queryByRole('button', { name: 'Roll back' })).toBeNull()
})

it('secrets are names; a value is sent once and shown never', async () => {
  const made = { bundle: 'mood', name: 'API_KEY', set_by: 'ada', set_at: null, warnings: ['no version asks for it'] }
  const { user, calls } = await showAt('/apps/mood/secrets', {
    ...ONE,
    'GET /api/v1/secrets': listed([{ ...made, name: 'OLD' }]),
    'PUT /api/v1/secrets/mood/API_KEY': made,
  })
  expect(await screen.findByText('OLD')).toBeVisible()
  await user.click(screen.getByRole('button', { name: 'Set a secret' }))
  const dialog = await screen.findByRole('dialog', { name: 'Set a secret' })
  await user.type(within(dialog).getByLabelText('Name'), 'API_KEY')
  const value = within(dialog).getByLabelText('Value')
  expect(value).toHaveAttribute('type', 'password')
  await user.type(value, 's3cret')
  await user.click(within(dialog).getByRole('button', { name: 'Set it' }))
  expect(await screen.findByText('no version asks for it')).toBeVisible()
  expect(calls.find((one) => one.method === 'PUT')?.body).toEqual({ value: 's3cret' })
  expect(screen.queryByText('s3cret')).toBeNull()
})

it('whose secrets they are not is told so', async () => {
  const { calls } = await showAt('/apps/mood/secrets', { ...ONE, ...USER })
  expect(await screen.findByText(/The secrets of this app are ada's/)).toBeVisible()
  expect(calls.some((one) => one.path.includes('/secrets'))).toBe(false)
})

it('its runs and schedules lead to theirs; removing says why it may not be', async () => {
  const { user, router } = await showAt('/apps/mood/runs', {
    ...ONE,
    'GET /api/v1/runs': listed([run()]),
    'GET /api/v1/schedules': listed([]),
    'DELETE /api/v1/apps/mood': refused(409, 'app_in_use', 'the schedule night wants mood'),
  })
  expect(await screen.findByRole('link', { name: 'mood@2 of night' })).toBeVisible()
  await router.push('/apps/mood/schedules')
  expect(await screen.findByText('No schedule wants it')).toBeVisible()
  await user.click(screen.getByRole('button', { name: 'Remove' }))
  await user.click(within(await screen.findByRole('dialog', { name: 'Remove mood?' })).getByRole('button', { name: 'Remove' }))
  expect(await screen.findByText('the schedule night wants mood')).toBeVisible()
})
