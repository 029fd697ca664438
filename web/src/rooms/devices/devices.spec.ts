import { expect, it } from 'vitest'

import { refused, screen, showAt, waitFor, within } from '@/test/harness'
import { command, device, hold, lamp, place } from '@/test/devices'
import { connection } from '@/state/connection'
import { StreamStub } from '@/test/streams'

const page = (items: unknown[], next: string | null = null) => ({ items, next })
const HOUSE = {
  'GET /api/v1/devices': page([device(), device({ id: 'fan-1', type: 'fan', at: 'campus/hall' })]),
  'GET /api/v1/locations': page([place('campus'), place('campus/hall'), place('campus/lab')]),
  'GET /api/v1/types': page([lamp()]),
}
const ONE = {
  'GET /api/v1/devices/lamp-1': device({ holds: [hold()] }),
  'GET /api/v1/types/lamp%401.0.0': lamp(),
}

it('lists devices page by page, finds those that fit, by a place too; the wish is in the address', async () => {
  const { user, router } = await showAt('/devices', {
    ...HOUSE,
    'GET /api/v1/devices': (call: { query: URLSearchParams }) =>
      call.query.get('after') ? page([device({ id: 'zed' })]) : page([device(), device({ id: 'fan-1', type: 'fan', at: 'campus/hall' })], 'lamp-1'),
  })
  expect(await screen.findByRole('link', { name: 'zed' })).toBeVisible()
  await user.click(await screen.findByRole('treeitem', { name: /hall/ }))
  await waitFor(() => expect(screen.queryByRole('link', { name: 'lamp-1' })).toBeNull())
  expect(screen.getByRole('link', { name: 'fan-1' })).toBeVisible()
  expect(router.currentRoute.value.query).toEqual({ at: 'campus/hall' })
  await user.click(screen.getByRole('searchbox'))
  await user.paste('nothing')
  expect(await screen.findByText('No device fits')).toBeVisible()
})

it('walks the tree of places by keys', async () => {
  const { user, router } = await showAt('/devices', HOUSE)
  const all = await screen.findByRole('treeitem', { name: /All places/ })
  await screen.findByRole('treeitem', { name: /hall/ })
  all.focus()
  await user.keyboard('{ArrowDown}')
  expect(screen.getByRole('treeitem', { name: /campus/ })).toHaveFocus()
  await user.keyboard('{ArrowLeft}')
  expect(screen.queryByRole('treeitem', { name: /lab/ })).toBeNull()
  await user.keyboard('{ArrowRight}{ArrowRight}{ArrowDown}{Enter}')
  await waitFor(() => expect(router.currentRoute.value.query).toEqual({ at: 'campus/lab' }))
})

it('follows the devices in sight on one stream', async () => {
  await showAt('/devices', HOUSE)
  await screen.findByRole('link', { name: 'lamp-1' })
  await waitFor(() => StreamStub.at('/api/v1/live/devices?device=fan-1&device=lamp-1'))
  const values = { on: { value: true, at: null, stale: false, content_type: null, url: null } }
  StreamStub.at('device=lamp-1').say('device', device({ status: 'offline', values }))
  expect(await screen.findByText('offline', { selector: '.badge' })).toBeVisible()
})

it('says how a first device comes, and what was refused', async () => {
  await showAt('/devices', { ...HOUSE, 'GET /api/v1/devices': page([]) })
  expect(await screen.findByText('No devices yet')).toBeVisible()
})

it('shows who holds a property and why, and lets go of what is one\'s own', async () => {
  const { user, calls } = await showAt('/devices/id/lamp-1', {
    ...ONE,
    'POST /api/v1/devices/lamp-1/release': device(),
    'GET /api/v1/why': { of: 'cmd-1', at: null, answer: 'ada set it.', chain: [{ at: '2026-11-22T05:00:00Z', kind: 'command', id: 'cmd-1', said: 'observed' }] },
  })
  const held = within(await screen.findByRole('list', { name: 'Held by' }))
  expect(held.getByText('ada')).toBeVisible()
  await user.click(held.getByRole('button', { name: 'Why: cmd-1' }))
  const why = await screen.findByRole('dialog')
  expect(await within(why).findByText('ada set it.')).toBeVisible()
  await user.click(within(why).getByRole('button', { name: 'Close' }))
  await user.click(held.getByRole('button', { name: 'Let go' }))
  await waitFor(() => expect(calls.find((one) => one.path.endsWith('/release'))?.body).toEqual({ properties: ['on'] }))
})

it('takes over with what is ticked, for so long, and tells how it ended', async () => {
  const { user, calls } = await showAt('/devices/id/lamp-1', {
    ...ONE,
    'POST /api/v1/devices/lamp-1/commands': command({ status: 'failed', cause: 'offline', reason: 'offline: since 05:00' }),
  })
  const form = within(await screen.findByRole('form', { name: 'Take over' }))
  await user.click(form.getByRole('button', { name: 'Send' }))
  expect(await form.findByText('Tick what to set.')).toBeVisible()
  await user.click(form.getByRole('radio', { name: 'Off' })) // what it is already: it shall stay so
  await user.selectOptions(form.getByRole('combobox', { name: 'Hold it' }), 'for 10 minutes')
  await user.click(form.getByRole('button', { name: 'Send' }))
  expect(await form.findByText('the device is away')).toBeVisible()
  expect(calls.find((one) => one.method === 'POST')?.body).toEqual({ set: { on: false }, hold_s: 600, because: null, timeout_s: 5 })
})

it('offers no command to those who may send none', async () => {
  const me = { user: 'ann', roles: ['ai_developer'], token: 't', token_calls_today: 0, token_calls_per_day: null, opens_at: null, used: {} }
  await showAt('/devices/id/lamp-1', { ...ONE, 'GET /api/v1/me': me })
  expect(await screen.findByRole('region', { name: 'Values' })).toBeVisible()
  expect(screen.queryByRole('form', { name: 'Take over' })).toBeNull()
  expect(screen.queryByRole('button', { name: 'Let go' })).toBeNull()
})

it('registers a device and shows its password until it is kept', async () => {
  const { user, router } = await showAt('/devices/register', { ...HOUSE, ...ONE, 'POST /api/v1/devices': device({ password: 's3cret' }) })
  await user.click(await screen.findByRole('button', { name: 'Register' }))
  expect((await screen.findAllByText('is needed')).length).toBe(3)
  await user.type(screen.getByLabelText('Id'), 'lamp-1')
  await user.selectOptions(screen.getByLabelText('Type'), 'lamp')
  await user.type(screen.getByLabelText('Place'), 'campus/lab')
  await user.click(screen.getByRole('button', { name: 'Register' }))
  const dialog = await screen.findByRole('dialog', { name: 'Password of the device' })
  expect(within(dialog).getByText('s3cret')).toBeVisible()
  await user.keyboard('{Escape}')
  expect(dialog).toBeVisible()
  await user.click(within(dialog).getByRole('button', { name: 'I have kept it' }))
  await waitFor(() => expect(router.currentRoute.value.path).toBe('/devices/id/lamp-1'))
})

it('registers many by a file, and tells what is wrong by line', async () => {
  const problems = [{ path: '1.at', rule: 'location_not_found', message: 'no place x', hint: '' }]
  const { user, calls } = await showAt('/devices/register?by=file', {
    'POST /api/v1/devices/batch': refused(422, 'devices_invalid', 'none was', { problems }),
  })
  const file = new File(['id,type,at\nd1,lamp,campus/lab\n\nd2,lamp,x\n'], 'd.csv', { type: 'text/csv' })
  await user.upload(await screen.findByLabelText('CSV file'), file)
  await user.click(await screen.findByRole('button', { name: 'Register 2 devices' }))
  expect(await screen.findByText('line 4:')).toBeVisible()
  expect(calls.find((one) => one.method === 'POST')?.body).toEqual({
    items: [
      { id: 'd1', type: 'lamp', at: 'campus/lab', title: '' },
      { id: 'd2', type: 'lamp', at: 'x', title: '' },
    ],
  })
})

it('shows history in the steps that were asked for', async () => {
  const { calls, user } = await showAt('/devices/id/lamp-1/history?of=brightness', {
    ...ONE,
    'GET /api/v1/devices/lamp-1/history/brightness': page([{ at: '2026-11-22T05:00:00Z', value: 40, count: 3, first: 1, low: 1, mean: 20, high: 40, shares: null }]),
  })
  expect(await screen.findByText('1 reading')).toBeVisible()
  await user.selectOptions(screen.getByLabelText('In steps of'), '1 minute')
  expect(await screen.findByText('1 step')).toBeVisible()
  expect(calls.at(-1)?.query.get('step')).toBe('60')
  expect(screen.getByRole('cell', { name: '20', hidden: true })).toBeInTheDocument()
})

it('gives a simulated place its faults', async () => {
  const simulation = { at: 'campus/lab', speed: 20, faults: {}, devices: ['lamp-1'], left: [], media: {}, created_at: null, created_by: 'ada' }
  const { user, calls } = await showAt('/devices/simulators', { ...HOUSE, 'GET /api/v1/simulations': page([simulation]), 'PUT /api/v1/simulations/campus/lab': simulation })
  await user.click(await screen.findByRole('button', { name: 'Change: campus/lab' }))
  await user.selectOptions(await screen.findByLabelText('Fault of lamp-1'), 'deaf')
  await user.click(screen.getByRole('button', { name: 'Save' }))
  await waitFor(() => expect(calls.find((one) => one.method === 'PUT')?.body).toEqual({ speed: 20, faults: { 'lamp-1': 'deaf' }, media: null }))
})

it('a list that the page itself stopped asking for says nothing of the platform', async () => {
  const stopped = (): never => {
    throw new DOMException('stopped', 'AbortError')
  }
  const { calls } = await showAt('/devices', { ...HOUSE, 'GET /api/v1/devices': stopped })
  await waitFor(() => expect(calls.some((one) => one.path === '/api/v1/devices')).toBe(true))
  await screen.findByRole('treeitem', { name: /All places/ })
  expect(connection.away).toBe(false)
})

it('a place gets another title, and goes once it is empty; what holds it is told', async () => {
  const { user, calls, router } = await showAt('/devices?at=campus', {
    ...HOUSE,
    'GET /api/v1/locations': page([place('campus'), place('campus/hall'), place('campus/empty')]),
    'PATCH /api/v1/locations/campus': place('campus'),
    'DELETE /api/v1/locations/campus/empty': null,
  })
  await user.click(await screen.findByRole('button', { name: 'Change campus' }))
  let dialog = within(await screen.findByRole('dialog'))
  expect(dialog.getByText(/nothing is left in it: 2 devices and 3 places now/)).toBeVisible()
  await user.type(dialog.getByLabelText(/Title/), 'Main site')
  await user.click(dialog.getByRole('button', { name: 'Save' }))
  await waitFor(() => expect(calls.find((one) => one.method === 'PATCH')?.body).toMatchObject({ title: 'Main site' }))
  await user.click(await screen.findByRole('treeitem', { name: /empty/ }))
  await user.click(await screen.findByRole('button', { name: 'Change campus/empty' }))
  dialog = within(await screen.findByRole('dialog'))
  await user.click(dialog.getByRole('button', { name: 'Remove this place' }))
  await user.click(dialog.getByRole('button', { name: 'Yes, remove it' }))
  await waitFor(() => expect(router.currentRoute.value.query).toEqual({ at: 'campus' }))
  expect(calls.some((one) => one.method === 'DELETE')).toBe(true)
})

it('a simulated camera makes its pictures up again, and the others keep theirs', async () => {
  const camera = lamp({ name: 'camera', properties: { image: { type: 'string', contentMediaType: 'image/jpeg' } } })
  const simulation = { at: 'campus', speed: 1, faults: {}, devices: ['cam-1', 'cam-2'], left: [], media: { 'cam-1': 2, 'cam-2': 1 }, created_at: null, created_by: 'ada' }
  const { user, calls } = await showAt('/devices/simulators', {
    ...HOUSE,
    'GET /api/v1/devices': page(['cam-1', 'cam-2'].map((id) => device({ id, type: 'camera' }))),
    'GET /api/v1/types': page([camera]),
    'GET /api/v1/simulations': page([simulation]),
    'PUT /api/v1/simulations/campus': simulation,
  })
  expect(await screen.findByText(/2 devices show files of their own/)).toBeVisible()
  await user.click(screen.getByRole('button', { name: 'Change: campus' }))
  const dialog = within(await screen.findByRole('dialog'))
  expect(await dialog.findByText('2 pictures of its own')).toBeVisible()
  await user.upload(dialog.getByLabelText('Choose pictures for cam-2'), new File(['no picture'], 'broken.png', { type: 'image/png' }))
  expect(await dialog.findByText('broken.png is no picture that this browser can read')).toBeVisible()
  await user.click(dialog.getByRole('button', { name: 'Own files of cam-1: take away' }))
  expect(dialog.getByText('made up from the room')).toBeVisible()
  await user.click(dialog.getByRole('button', { name: 'Save' }))
  await waitFor(() => expect(calls.find((one) => one.method === 'PUT')?.body).toMatchObject({ media: { 'cam-2': null } }))
})
