import { expect, it, vi } from 'vitest'

import { ME, refused, screen, showAt, waitFor, within, type Call } from '@/test/harness'
import { schedule } from '@/test/schedules'

// draws into a canvas of the browser's layout, which jsdom has not; the same windows stand beside it as a list
vi.mock('@event-calendar/core', () => ({ TimeGrid: {}, createCalendar: () => ({ setOption: () => undefined }), destroyCalendar: () => undefined }))
vi.mock('@event-calendar/core/index.css', () => ({}))

const page = (items: object[]) => ({ items, next: null })
const APP = {
  name: 'mood',
  owner: 'paul',
  summary: 'Light by mood',
  aliases: { production: [{ version: '1', weight: 100 }] },
  devices: { lamps: { type: 'lamp@1', count: '1..' } },
  models: {},
  params: { smooth_s: { type: 'number', default: 8, minimum: 1, maximum: 120, title: 'Mean over' } },
}
const PREVIEW = {
  zone: 'Europe/Berlin',
  bindings: { lamps: ['lamp-1', 'lamp-2'] },
  windows: [{ from: '2026-11-23T07:00:00Z', to: '2026-11-23T17:00:00Z', skipped: null, note: null, conflicts: [] }],
  odd: [],
  conflicts: [],
  warnings: [],
  problems: [],
}
const HOUSE = {
  'GET /api/v1/apps': page([APP]),
  'GET /api/v1/locations': page([{ path: 'lab', title: '', zone: 'Europe/Berlin', created_at: null }]),
  'GET /api/v1/devices': page([]),
  'GET /api/v1/windows': { items: [], cut: [] },
  'GET /api/v1/runs': page([]),
}
const ONE = { ...HOUSE, 'GET /api/v1/schedules/night': schedule(), 'POST /api/v1/schedules': PREVIEW }
const writes = (calls: Call[]): Call[] => calls.filter((call) => call.method !== 'GET' && !(call.body as { dry_run?: boolean } | null)?.dry_run)

it('lists what is scheduled, in words, and why a paused one is', async () => {
  const { user, router } = await showAt('/schedules', {
    'GET /api/v1/schedules': page([schedule(), schedule({ id: 'sch-2', name: 'party', state: 'paused', paused: 'Holidays', next_at: null })]),
  })
  expect(await screen.findByRole('link', { name: 'night' })).toHaveAttribute('href', '/ui/schedules/id/night')
  const row = screen.getByRole('row', { name: /party/ })
  expect(row).toHaveTextContent('Mon–Fri 18:00–07:00')
  expect(row).toHaveTextContent('pausedHolidays')
  await user.selectOptions(screen.getByLabelText('State'), 'Paused')
  await waitFor(() => expect(screen.queryByRole('link', { name: 'night' })).toBeNull())
  expect(router.currentRoute.value.query).toEqual({ state: 'paused' })
})

it('says how a first one comes, and offers it only to those who may', async () => {
  await showAt('/schedules', { 'GET /api/v1/schedules': page([]), 'GET /api/v1/me': { ...ME, roles: ['ai_developer'] } })
  expect(await screen.findByText('Nothing is scheduled')).toBeVisible()
  expect(screen.queryByRole('link', { name: 'Schedule an app' })).toBeNull()
})

it('tells the windows of a week as a list too', async () => {
  const item = { schedule: 'night', app: 'mood', at: 'lab', zone: 'UTC', from: '2026-11-23T18:00:00Z', to: '2026-11-24T06:00:00Z', skipped: null, note: null, paused: 'Holidays' }
  const { user, calls } = await showAt('/schedules?view=week&week=2026-11-25&zone=UTC', {
    'GET /api/v1/schedules': page([schedule()]),
    'GET /api/v1/windows': { items: [item], cut: ['often'] },
  })
  expect(await screen.findByRole('row', { name: /Mon 23 Nov.*18:00 – Tue 24 Nov.*06:00.*paused: Holidays/ })).toBeVisible()
  expect(screen.getByText(/Too many windows.*often/)).toBeVisible()
  await user.click(screen.getByRole('button', { name: 'Week after' }))
  await waitFor(() => expect(calls.filter((call) => call.path === '/api/v1/windows').map((call) => call.query.get('from'))).toContain('2026-11-29T00:00:00Z'))
})

it('leads from an app to a schedule: its devices, its windows, its name', async () => {
  const { user, calls, router } = await showAt('/schedules/new', {
    ...ONE,
    'POST /api/v1/schedules': (call: Call) => ((call.body as { dry_run: boolean }).dry_run ? PREVIEW : schedule({ name: 'night' })),
  })
  const next = () => user.click(screen.getByRole('button', { name: 'Next' }))
  await screen.findByRole('radio', { name: /mood/ })
  await next()
  expect(await screen.findByRole('alert')).toHaveTextContent('is needed')
  await user.click(screen.getByRole('radio', { name: /mood/ }))
  await next()

  await user.selectOptions(await screen.findByLabelText('Place'), 'lab')
  expect(await screen.findByText('Everything that it needs is there.')).toBeVisible()
  expect(screen.getByText('lamp-1, lamp-2')).toBeVisible()
  await next()

  expect(await screen.findByRole('heading', { name: 'Step 3 of 4: When?' })).toHaveFocus()
  await user.click(screen.getByRole('checkbox', { name: 'Saturday' }))
  const windows = await screen.findByRole('list', { name: 'Next windows' })
  expect(windows).toHaveTextContent('Mon 23 Nov, 08:00 – 18:00')
  await next()

  const summary = await screen.findByRole('region', { name: 'Is that right?' })
  expect(summary).toHaveTextContent('Mon–Sat 08:00–18:00')
  await user.type(screen.getByLabelText(/^Name/), 'night')
  await user.type(screen.getByLabelText(/^Mean over/), '12')
  await user.type(screen.getByLabelText(/^Mail when it is up/), 'ada@example.org')
  await user.click(screen.getByRole('button', { name: 'Schedule it' }))
  await waitFor(() => expect(router.currentRoute.value.path).toBe('/schedules/id/night'))
  expect(writes(calls).at(-1)?.body).toMatchObject({
    app: 'mood',
    at: 'lab',
    name: 'night',
    windows: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat'], from: '08:00', to: '18:00' }],
    params: { smooth_s: 12 },
    notify: ['ada@example.org'],
  })
})

it('says why an app cannot run at a place, and who is in the way later', async () => {
  const problem = { path: 'devices.lamps', rule: 'not_bindable', message: 'lamps needs 1 or more lamp@1 at lab; there is none', hint: 'fairlead devices add' }
  const clash = { schedule: 'party', devices: ['lamp-1'], from: '2026-11-23T19:00:00Z', to: null }
  const { user } = await showAt('/schedules/new?step=place&app=mood&at=lab', {
    ...HOUSE,
    'POST /api/v1/schedules': { ...PREVIEW, problems: [problem], conflicts: [clash] },
  })
  expect(await screen.findByText(/lamps needs 1 or more lamp@1 at lab; there is none/)).toBeVisible()
  expect(screen.queryByText(/fairlead devices add/)).toBeNull()
  await user.click(screen.getByRole('button', { name: 'Next' }))
  expect(await screen.findByRole('list', { name: 'Conflicts' })).toHaveTextContent('party (lamp-1)')
})

it('keeps what was typed where it is refused, at its field', async () => {
  const told = { problems: [{ path: 'name', rule: 'name', message: "'B B' is no name", hint: 'lower-case letters' }] }
  const { user } = await showAt('/schedules/new?step=confirm&app=mood&at=lab', {
    ...HOUSE,
    'POST /api/v1/schedules': (call: Call) => ((call.body as { dry_run: boolean }).dry_run ? PREVIEW : refused(422, 'schedule_invalid', 'name: no name', told)),
  })
  await user.type(await screen.findByLabelText(/^Name/), 'B-B')
  await user.click(screen.getByRole('button', { name: 'Schedule it' }))
  expect(await screen.findByText("'B B' is no name. lower-case letters")).toBeVisible()
  expect(screen.getByLabelText(/^Name/)).toHaveValue('B-B')
})

it('shows one with what is next and what ran, and pauses it with a note', async () => {
  const item = { schedule: 'night', app: 'mood', at: 'lab', zone: 'UTC', from: '2026-11-23T18:00:00Z', to: '2026-11-24T06:00:00Z', skipped: null, note: 'clocks go back', paused: null }
  const run = { id: 'run-1', status: 'failed', reason: 'exit 1', window: { from: '2026-11-20T17:00:00Z', to: null }, bindings: { lamps: ['lamp-1'] }, url: null }
  const { user, calls } = await showAt('/schedules/id/night', {
    ...ONE,
    'GET /api/v1/windows': { items: [item], cut: [] },
    'GET /api/v1/runs': page([run]),
    'PATCH /api/v1/schedules/night': schedule({ paused: 'Holidays', state: 'paused' }),
  })
  expect(await screen.findByText('clocks go back')).toBeVisible()
  expect(await screen.findByText('exit 1')).toBeVisible()
  expect(await screen.findByText('lamp-1, lamp-2')).toBeVisible()
  await user.click(screen.getByRole('button', { name: 'Pause' }))
  const dialog = await screen.findByRole('dialog', { name: 'Pause night' })
  await user.type(within(dialog).getByLabelText(/^Note/), 'Holidays')
  await user.click(within(dialog).getByRole('button', { name: 'Pause' }))
  await waitFor(() => expect(writes(calls).at(-1)?.body).toEqual({ paused: true, why: 'Holidays' }))
})

it('runs it now beside its windows, and removes it after a question', async () => {
  const { user, calls, router } = await showAt('/schedules/id/night', {
    ...ONE,
    'GET /api/v1/schedules': page([]),
    'POST /api/v1/schedules': (call: Call) => ((call.body as { dry_run: boolean }).dry_run ? PREVIEW : schedule({ name: 'mood-1' })),
    'DELETE /api/v1/schedules/night': undefined,
  })
  await user.click(await screen.findByRole('button', { name: 'Run now' }))
  const run = await screen.findByRole('dialog', { name: 'Run mood now' })
  await user.selectOptions(within(run).getByLabelText('For'), '10 minutes')
  await user.click(within(run).getByRole('button', { name: 'Run now' }))
  expect(await screen.findByText('mood-1 starts now')).toBeVisible()
  expect(writes(calls).at(-1)?.body).toMatchObject({ app: 'mood', at: 'lab', now: true, for_s: 600 })
  await user.click(screen.getByRole('button', { name: 'Remove' }))
  await user.click(within(await screen.findByRole('dialog', { name: 'Remove night?' })).getByRole('button', { name: 'Remove' }))
  await waitFor(() => expect(router.currentRoute.value.path).toBe('/schedules'))
})

it('offers nothing to those who may change nothing of it', async () => {
  await showAt('/schedules/id/night', { ...ONE, 'GET /api/v1/me': { ...ME, user: 'zoe', roles: ['user'] } })
  expect(await screen.findByRole('button', { name: 'Run now' })).toBeVisible()
  for (const name of ['Pause', 'Remove']) expect(screen.queryByRole('button', { name })).toBeNull()
  expect(screen.queryByRole('link', { name: 'Edit' })).toBeNull()
})

it('changes one, and shows first what that comes to', async () => {
  const { user, calls, router } = await showAt('/schedules/id/night/edit', {
    ...ONE,
    'PUT /api/v1/schedules/night': (call: Call) => ((call.body as { dry_run: boolean }).dry_run ? PREVIEW : schedule()),
  })
  const to = await screen.findByLabelText('To')
  expect(to).toHaveValue('07:00')
  expect(screen.getByText('ends the next day')).toBeVisible()
  await user.clear(to)
  await user.type(to, '22:00')
  expect(await screen.findByRole('list', { name: 'Next windows' })).toBeVisible()
  await user.click(screen.getByRole('button', { name: 'Save' }))
  await waitFor(() => expect(router.currentRoute.value.path).toBe('/schedules/id/night'))
  expect(writes(calls).at(-1)?.body).toMatchObject({ app: 'mood', name: 'night', windows: [{ from: '18:00', to: '22:00' }] })
})
