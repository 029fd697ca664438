import { expect, it } from 'vitest'

import { entry } from '@/test/gallery'
import { type Call, ME, refused, screen, showAt, waitFor, within } from '@/test/harness'

const FACETS = { 'GET /api/v1/gallery/facets': { models: ['mood', 'painter'], people: ['ada', 'zoe'] } }
const ONE = { ...FACETS, 'GET /api/v1/gallery/gal-1': entry() }
const ZOE = { ...ME, user: 'zoe', roles: ['user'] }

function listed(call: Call) {
  const all = [entry(), entry({ id: 'gal-2', prompt: '', title: 'A mood', model: 'mood', content_type: 'application/json' })]
  const model = call.query.get('model')
  return { items: all.filter((one) => !model || one.model === model), next: null }
}

it('shows what is kept with a text for each picture, and finds by model; the wish is in the address', async () => {
  const { user, router } = await showAt('/gallery', { ...FACETS, 'GET /api/v1/gallery': listed })
  expect(await screen.findByRole('img', { name: '“a red boat”, drawn by painter' })).toHaveAttribute('loading', 'lazy')
  expect(screen.getByRole('link', { name: 'A mood' })).toHaveAttribute('href', '/ui/gallery/gal-2')

  await user.selectOptions(await screen.findByRole('combobox', { name: 'Model' }), 'mood')
  await waitFor(() => expect(screen.queryByRole('img', { name: /red boat/ })).toBeNull())
  expect(router.currentRoute.value.query).toEqual({ model: 'mood' })
})

it('says how a first one comes, and where nothing fits how to see all', async () => {
  const { user } = await showAt('/gallery?by=zoe', {
    ...FACETS,
    'GET /api/v1/gallery': (call: Call) => ({ items: call.query.get('by') ? [] : [entry()], next: null }),
  })
  expect(await screen.findByText('Nothing fits')).toBeVisible()
  await user.click(screen.getByRole('button', { name: 'Clear the filters' }))
  expect(await screen.findByRole('link', { name: 'a red boat' })).toBeVisible()
})

it('who keeps nothing yet is told how', async () => {
  await showAt('/gallery', { ...FACETS, 'GET /api/v1/gallery': { items: [], next: null } })
  expect(await screen.findByText('Nothing is kept yet')).toBeVisible()
  expect(screen.getByRole('link', { name: 'To the models' })).toBeVisible()
})

it('what was refused is told, and asked again', async () => {
  let tries = 0
  const { user } = await showAt('/gallery', {
    ...FACETS,
    'GET /api/v1/gallery': (call: Call) => (++tries === 1 ? refused(500, 'internal', 'something failed') : listed(call)),
  })
  await user.click(await screen.findByRole('button', { name: 'Try again' }))
  expect(await screen.findByRole('link', { name: 'A mood' })).toBeVisible()
})

it('the next page comes when it is asked for', async () => {
  const { user, calls } = await showAt('/gallery', {
    ...FACETS,
    'GET /api/v1/gallery': (call: Call) =>
      call.query.get('before') ? { items: [entry({ id: 'gal-0', title: 'Older' })], next: null } : { items: [entry()], next: 'gal-1' },
  })
  await user.click(await screen.findByRole('button', { name: 'Show more' }))
  expect(await screen.findByRole('link', { name: 'Older' })).toBeVisible()
  expect(screen.queryByRole('button', { name: 'Show more' })).toBeNull()
  expect(calls.filter((one) => one.path === '/api/v1/gallery').at(-1)?.query.get('before')).toBe('gal-1')
})

it('one result: what made it, its link, and deleting it once more is asked', async () => {
  const { user, calls, router } = await showAt('/gallery/gal-1', {
    ...ONE,
    'GET /api/v1/gallery': listed,
    'DELETE /api/v1/gallery/gal-1': undefined,
  })
  const facts = within(await screen.findByRole('region', { name: 'How it was made' }))
  expect(facts.getByText('11')).toBeVisible()
  expect(facts.getByText('Steps')).toBeVisible()
  expect(facts.getByRole('link', { name: 'painter' })).toBeVisible()
  expect(within(screen.getByRole('region', { name: 'Permanent link' })).getByText(/\/ui\/gallery\/gal-1$/)).toBeVisible()
  await waitFor(() => expect(document.title).toBe('a red boat · Fairlead'))

  await user.click(await screen.findByRole('button', { name: 'Delete' }))
  const dialog = await screen.findByRole('dialog', { name: /Delete this/ })
  expect(calls.some((one) => one.method === 'DELETE')).toBe(false)
  await user.click(within(dialog).getByRole('button', { name: 'Delete' }))
  await waitFor(() => expect(router.currentRoute.value.path).toBe('/gallery'))
})

it('who sees it is changed by whose it is', async () => {
  const { user, calls } = await showAt('/gallery/gal-1', {
    ...ONE,
    'PATCH /api/v1/gallery/gal-1': entry({ visibility: 'public' }),
  })
  await user.click(await screen.findByRole('button', { name: 'Change' }))
  const dialog = await screen.findByRole('dialog')
  await user.click(within(dialog).getByRole('radio', { name: /Public/ }))
  await user.click(within(dialog).getByRole('button', { name: 'Save' }))
  await waitFor(() => expect(calls.find((one) => one.method === 'PATCH')?.body).toEqual({ title: '', visibility: 'public' }))
})

it("somebody else's is looked at, and no more is offered", async () => {
  await showAt('/gallery/gal-1', { ...ONE, 'GET /api/v1/me': ZOE })
  expect(await screen.findByRole('link', { name: 'Download' })).toBeVisible()
  expect(screen.queryByRole('button', { name: 'Delete' })).toBeNull()
  expect(screen.queryByRole('button', { name: 'Change' })).toBeNull()
})

it('an answer in words is shown as the playground shows it', async () => {
  await showAt('/gallery/gal-1', {
    'GET /api/v1/gallery/gal-1': entry({ content_type: 'application/json' }),
    'GET /api/v1/gallery/gal-1/content': { late: true, probability: 0.5 },
  })
  expect(await screen.findByText('Late: yes')).toBeVisible()
})

it('who has the link of a public one needs no account; of another one they are led to sign in', async () => {
  const nobody = { 'GET /api/v1/me': refused(401, 'token_required', 'this needs a token') }
  const { router } = await showAt('/gallery/gal-1', {
    ...nobody,
    'GET /api/v1/gallery/gal-1': entry({ visibility: 'public' }),
    'GET /api/v1/gallery/gal-2': refused(401, 'token_required', 'this needs a token'),
  })
  expect(await screen.findByRole('img', { name: /red boat/ })).toBeVisible()
  expect(screen.queryByRole('navigation', { name: 'Main' })).toBeNull()
  expect(screen.queryByRole('dialog')).toBeNull()
  expect(screen.queryByRole('link', { name: 'painter' })).toBeNull()

  await router.push('/gallery/gal-2')
  const main = within(await screen.findByRole('main'))
  expect(await main.findByText('This is not public')).toBeVisible()
  expect(main.getByRole('link', { name: 'Sign in' })).toHaveAttribute('href', '/sign-in?next=/ui/gallery/gal-2')
})

it('a title that is HTML is text, and what is gone says so', async () => {
  const title = '<img src=x onerror=alert(1)>'
  const { router } = await showAt('/gallery/gal-1', {
    'GET /api/v1/gallery/gal-1': entry({ title }),
    'GET /api/v1/gallery/gal-2': refused(404, 'gallery_not_found', 'there is no gal-2'),
  })
  expect(await screen.findByRole('heading', { name: title })).toBeVisible()
  await router.push('/gallery/gal-2')
  expect(await screen.findByText('Nothing is here any more')).toBeVisible()
})
