/** What the page makes of a model's view. Pure. */
import type { VersionStatus } from '@/api/words'

import type { Model, ModelShort, Version } from './queries'

export interface Card {
  authors: string[]
  license: string
  abstract: string
  task: string
  tags: string[]
  datasets: string[]
  paper: string
  huggingface: string
  homepage: string
  baseModel: string
  scores: Record<string, number>
}

export type State = VersionStatus | 'crashing' | 'none'
export type Tone = 'good' | 'warn' | 'bad' | 'plain' | 'accent'

const TONES: Record<State, Tone> = {
  ready: 'good',
  sleeping: 'plain',
  building: 'accent',
  starting: 'accent',
  retired: 'warn',
  failed: 'bad',
  crashing: 'bad',
  none: 'warn',
}

type Facts = Record<string, { value: unknown }>

/** Returns the facts that the platform knows of a model, its manifest's and those of the sites that it names. */
export function cardOfFacts(facts: Facts, model: Model): Card {
  const known = Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, fact.value]))
  return cardOf({ ...model, card: { ...model.card, ...known } })
}

/** Returns the manifest's card; what it does not say is empty. */
export function cardOf(model: Model): Card {
  const card = model.card
  return {
    authors: texts(card.authors),
    license: text(card.license),
    abstract: text(card.abstract).trim(),
    task: text(card.task),
    tags: texts(card.tags),
    datasets: texts(card.datasets),
    paper: text(card.paper),
    huggingface: text(card.huggingface),
    homepage: text(card.homepage),
    baseModel: text(card.base_model),
    scores: numbers(card.scores),
  }
}

/** Returns the version that answers when none is named: the heaviest of `production`. */
export function mainVersion(model: Model): Version | undefined {
  const targets = [...(model.aliases.production ?? [])].sort((one, other) => other.weight - one.weight)
  const named = targets[0]?.version
  return model.versions.find((one) => one.version === named)
}

export function stateOf(model: Model): State {
  const main = mainVersion(model) ?? model.versions[0]
  if (main === undefined) return 'none'
  if (main.reason.startsWith('crash_loop')) return 'crashing'
  return main.status as VersionStatus
}

export function stateOfShort(model: ModelShort): State {
  if (model.status === null) return 'none'
  return model.reason.startsWith('crash_loop') ? 'crashing' : (model.status as VersionStatus)
}

export function toneOf(state: State): Tone {
  return TONES[state]
}

/** Makes pictures, sounds and the like, which take their time: best run as a job, which shows its steps. */
const MAKES = /-to-(image|video|audio|speech|music|3d)$|^unconditional-.*-generation$/

export function worksLong(model: Model): boolean {
  return MAKES.test(cardOf(model).task)
}

export function answers(state: State): boolean {
  return state === 'ready' || state === 'sleeping'
}

/** Returns who made a model: the authors of its card, else whoever pushed it. */
export function authorsOf(model: Model): string[] {
  const { authors } = cardOf(model)
  return authors.length > 0 ? authors : [model.owner]
}

/** Returns when anything of the model was pushed last. */
export function changedAt(model: Model): string {
  return model.versions.reduce((last, one) => ((one.created_at ?? '') > last ? (one.created_at ?? '') : last), '')
}

/** Returns `arXiv:1503.03832` and such as an address, other text as it is; nothing where it is none. */
export function linkOf(reference: string): string {
  if (/^https?:\/\//.test(reference)) return reference
  const arxiv = /^(?:arxiv:)?(\d{4}\.\d{4,5}(?:v\d+)?)$/i.exec(reference)
  if (arxiv) return `https://arxiv.org/abs/${arxiv[1]}`
  return ''
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
}

function numbers(value: unknown): Record<string, number> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(Object.entries(value).filter(([, one]) => typeof one === 'number')) as Record<string, number>
}
