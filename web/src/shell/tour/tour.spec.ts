import { beforeEach, describe, expect, it } from 'vitest'

import type { NavEntry } from '@/rooms/room'
import type { Verb } from '@/state/me'
import { ALLOWED, type Role } from '@/api/words'
import { ME, screen, showAt, waitFor, within } from '@/test/harness'

import { stepsFor } from './steps'

const NAV = ['/models', '/gallery', '/devices', '/apps', '/schedules', '/house'].map(
  (to) => ({ label: to.slice(1), to, icon: {}, order: 1 }) satisfies NavEntry,
)
const may =
  (...roles: Role[]) =>
  (verb: Verb) =>
    ALLOWED[verb].some((role) => roles.includes(role))
const titles = (roles: Role[], nav = NAV) => stepsFor(may(...roles), nav).map((one) => one.title)

describe('steps', () => {
  it('are three for every role, and fit what it may do', () => {
    expect(titles(['user'])).toEqual(['Try a model', 'See the devices, schedule an app', 'Keep what you like'])
    expect(titles(['ai_developer'])).toEqual(['Try a model', 'See the devices', 'Push your own'])
    expect(titles(['app_developer'])[2]).toBe('Push your own')
    expect(titles(['configurer'])[2]).toBe('Run the house')
  })

  it('point only at what is there', () => {
    const small = NAV.filter((one) => one.to !== '/house' && one.to !== '/schedules')
    const steps = stepsFor(may('configurer'), small)
    expect(steps.map((one) => one.title)).toContain('Register your devices')
    expect(steps.flatMap((one) => one.at)).toEqual(['/models', '/devices', '/devices'])
    expect(titles(['user'], [])).toEqual([])
  })
})

describe('the tour', () => {
  beforeEach(() => localStorage.removeItem('fairlead.tour.ada'))
  const replies = { 'GET /api/v1/models': { items: [] }, 'GET /api/v1/me': { ...ME, roles: ['user'] } }
  const card = () => screen.findByRole('dialog', { name: 'A short tour' })

  it('is shown once, leads through three steps, and takes and gives back the focus', async () => {
    const { user } = await showAt('/models', replies)
    const shown = await card()
    await waitFor(() => expect(shown).toHaveFocus())
    expect(shown).toHaveAccessibleDescription(/Step 1 of 3 Try a model/)
    expect(screen.getAllByRole('link', { name: 'Models' })[0]).toHaveAttribute('data-pointed')

    await user.click(within(shown).getByRole('button', { name: 'Next' }))
    expect(within(shown).getByRole('link', { name: 'Open Devices' })).toHaveAttribute('href', '/ui/devices')
    await user.click(within(shown).getByRole('button', { name: 'Next' }))
    expect(within(shown).getByText('Step 3 of 3')).toBeVisible()
    await user.click(within(shown).getByRole('button', { name: 'Done' }))
    expect(screen.queryByRole('dialog')).not.toBeInTheDocument()
    expect(screen.getByRole('main')).toHaveFocus()
    expect(localStorage.getItem('fairlead.tour.ada')).not.toBeNull()
  })

  it('ends by Escape, and is taken again from the menu', async () => {
    const { user } = await showAt('/models', replies)
    await card()
    await user.keyboard('{Escape}')
    expect(screen.queryByRole('dialog')).not.toBeInTheDocument()
    await user.click(screen.getByRole('button', { name: 'Your account: ada' }))
    await user.click(await screen.findByRole('menuitem', { name: 'Take the tour' }))
    expect(await card()).toBeVisible()
  })

  it('lies over no work: an address that leads elsewhere, and what comes after it, is left alone', async () => {
    const { router } = await showAt('/gallery', { ...replies, 'GET /api/v1/gallery': { items: [], next: null } })
    await screen.findByRole('navigation', { name: 'Main' })
    await router.push('/models')
    await screen.findByRole('heading', { name: 'Models' })
    expect(screen.queryByRole('dialog')).not.toBeInTheDocument()
    expect(localStorage.getItem('fairlead.tour.ada')).toBeNull()
  })
})
