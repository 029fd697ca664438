/** Which models are shown, in which order. Pure. */
import { cardOf, changedAt } from '../model'
import type { Model } from '../queries'

export interface Wish {
  text: string
  author: string
  task: string
  tag: string
  sort: 'changed' | 'name'
}

export const NO_WISH: Wish = { text: '', author: '', task: '', tag: '', sort: 'changed' }

export function chosen(models: readonly Model[], wish: Wish): Model[] {
  const words = wish.text.toLowerCase().split(/\s+/).filter(Boolean)
  const found = models.filter((model) => {
    const card = cardOf(model)
    const said = [model.name, model.summary, model.owner, card.task, ...card.tags, ...card.authors].join(' ').toLowerCase()
    return (
      words.every((word) => said.includes(word)) &&
      (!wish.author || authorsOf(model).includes(wish.author)) &&
      (!wish.task || card.task === wish.task) &&
      (!wish.tag || card.tags.includes(wish.tag))
    )
  })
  if (wish.sort === 'name') return found.sort((one, other) => one.name.localeCompare(other.name))
  return found.sort((one, other) => changedAt(other).localeCompare(changedAt(one)))
}

/** Returns what there is to filter by. */
export function facets(models: readonly Model[]): { authors: string[]; tasks: string[]; tags: string[] } {
  return {
    authors: unique(models.flatMap(authorsOf)),
    tasks: unique(models.map((model) => cardOf(model).task)),
    tags: unique(models.flatMap((model) => cardOf(model).tags)),
  }
}

/** Returns who made a model: the authors of its card, else whoever pushed it. */
export function authorsOf(model: Model): string[] {
  const { authors } = cardOf(model)
  return authors.length > 0 ? authors : [model.owner]
}

function unique(words: readonly string[]): string[] {
  return [...new Set(words.filter(Boolean))].sort((one, other) => one.localeCompare(other))
}
