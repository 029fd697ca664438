/** Which models are shown, in which order. Pure. */
import type { ModelShort } from '../queries'

export interface Wish {
  text: string
  author: string
  task: string
  tag: string
  sort: 'changed' | 'name'
}

export const NO_WISH: Wish = { text: '', author: '', task: '', tag: '', sort: 'changed' }

export function chosen(models: readonly ModelShort[], wish: Wish): ModelShort[] {
  const words = wish.text.toLowerCase().split(/\s+/).filter(Boolean)
  const found = models.filter(
    (model) =>
      words.every((word) => saidOf(model).includes(word)) &&
      (!wish.author || model.authors.includes(wish.author)) &&
      (!wish.task || model.task === wish.task) &&
      (!wish.tag || model.tags.includes(wish.tag)),
  )
  if (wish.sort === 'name') return found.sort((one, other) => one.name.localeCompare(other.name))
  // RFC 3339 in UTC: to the second, texts stand in the order of moments
  return found.sort((one, other) => (one.changed_at === other.changed_at ? 0 : (one.changed_at ?? '') < (other.changed_at ?? '') ? 1 : -1))
}

/** Returns what there is to filter by. */
export function facets(models: readonly ModelShort[]): { authors: string[]; tasks: string[]; tags: string[] } {
  return {
    authors: unique(models.flatMap((model) => model.authors)),
    tasks: unique(models.map((model) => model.task)),
    tags: unique(models.flatMap((model) => model.tags)),
  }
}

function saidOf(model: ModelShort): string {
  return [model.name, model.summary, model.owner, model.task, ...model.tags, ...model.authors].join(' ').toLowerCase()
}

function unique(words: readonly string[]): string[] {
  return [...new Set(words.filter(Boolean))].sort((one, other) => one.localeCompare(other))
}
