/** What the page makes of an app's view. Pure. */
import type { VersionStatus } from '@/api/words'
import type { AppState } from '@/texts/apps'

import type { App } from './queries'

export type Tone = 'good' | 'warn' | 'bad' | 'plain' | 'accent'
export type Version = App['versions'][number]

const TONES: Record<AppState, Tone> = { running: 'good', able: 'plain', building: 'accent', failed: 'bad', none: 'warn' }
const VERSION_TONES: Record<VersionStatus, Tone> = {
  building: 'accent',
  starting: 'accent',
  ready: 'good',
  sleeping: 'good',
  retired: 'warn',
  failed: 'bad',
}

/** Returns the version that new runs take: the one of `production`. */
export function mainVersion(app: App): Version | undefined {
  const named = app.aliases.production?.[0]?.version
  return app.versions.find((one) => one.version === named)
}

export function stateOf(app: App): AppState {
  if (app.url !== null) return 'running'
  const main = mainVersion(app) ?? app.versions[0]
  if (main === undefined) return 'none'
  if (main.status === 'building' || main.status === 'starting') return 'building'
  if (main.status === 'failed') return 'failed'
  return mainVersion(app) ? 'able' : 'none'
}

export const toneOf = (state: AppState): Tone => TONES[state]
export const toneOfVersion = (status: string): Tone => VERSION_TONES[status as VersionStatus] ?? 'plain'

/** Returns when anything of the app was pushed last. */
export function changedAt(app: App): string {
  return app.versions.reduce((last, one) => ((one.created_at ?? '') > last ? (one.created_at ?? '') : last), '')
}

export interface Card {
  authors: string[]
  license: string
  abstract: string
  homepage: string
  paper: string
  tags: string[]
}

export function cardOf(app: App): Card {
  const card = app.card as Record<string, unknown>
  const text = (name: string): string => (typeof card[name] === 'string' ? (card[name] as string) : '')
  const texts = (name: string): string[] => (Array.isArray(card[name]) ? (card[name] as unknown[]).map(String) : [])
  return {
    authors: texts('authors'),
    license: text('license'),
    abstract: text('abstract').trim(),
    homepage: text('homepage'),
    paper: text('paper'),
    tags: texts('tags'),
  }
}

export interface Role {
  name: string
  kind: 'device' | 'model'
  needs: string
  /** How many, as the manifest says it: `1`, `1..`, `2..4`. */
  count: string
  shared: boolean
  tier: string
}

/** Returns what an app needs: devices by their type, models by name and alias. */
export function rolesOf(app: App): Role[] {
  const devices = Object.entries(app.devices ?? {}).map(([name, spec]) => {
    const said = spec as { type?: unknown; count?: unknown; shared?: unknown; tier?: unknown }
    const tier = String(said.tier ?? 'app')
    return {
      name,
      kind: 'device' as const,
      needs: String(said.type ?? ''),
      count: String(said.count ?? 1),
      shared: said.shared === true,
      tier: tier === 'app' ? '' : tier,
    }
  })
  const models = Object.entries(app.models ?? {}).map(([name, needs]) => {
    return { name, kind: 'model' as const, needs: String(needs), count: '', shared: false, tier: '' }
  })
  return [...devices, ...models]
}

export interface Param {
  name: string
  title: string
  default: string
  isRequired: boolean
  allowed: string
}

export function paramsOf(app: App): Param[] {
  return Object.entries(app.params ?? {}).map(([name, found]) => {
    const spec = found as Record<string, unknown>
    const { minimum, maximum } = spec
    const choices = spec.enum ?? spec.choices
    const range = minimum !== undefined || maximum !== undefined ? `${shown(minimum) || '…'} to ${shown(maximum) || '…'}` : ''
    const allowed = Array.isArray(choices) ? choices.map(shown).join(', ') : range
    return {
      name,
      title: String(spec.title ?? spec.description ?? ''),
      default: shown(spec.default),
      isRequired: spec.required === true,
      allowed: [String(spec.type ?? ''), allowed].filter(Boolean).join(', '),
    }
  })
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Returns the apps with all the words, of a state where one is wished. */
export function chosen(apps: readonly App[], text: string, state: string): App[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  return apps.filter((app) => {
    if (state && stateOf(app) !== state) return false
    const roles = rolesOf(app).map((role) => `${role.name} ${role.needs}`)
    const said = [app.name, app.owner, app.summary, ...cardOf(app).tags, ...cardOf(app).authors, ...roles]
    const all = said.join(' ').toLowerCase()
    return words.every((word) => all.includes(word))
  })
}

/** Returns `text` where it is an address that may be opened. */
export function linkOf(text: string): string {
  return /^https?:\/\//.test(text) ? text : ''
}
