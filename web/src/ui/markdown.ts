/** The little Markdown that readmes need, as blocks to draw: no HTML comes of it, what it does not know stays text. Pure. */
export interface Piece {
  kind: 'text' | 'code' | 'strong' | 'link'
  text: string
  href: string
}
export type Block =
  | { kind: 'heading'; level: number; pieces: Piece[] }
  | { kind: 'code'; text: string }
  | { kind: 'list'; items: Piece[][] }
  | { kind: 'paragraph'; pieces: Piece[] }

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|!?\[([^\]]*)\]\(([^)\s]+)\)/g
const ITEM = /^\s*(?:[-*+]|\d+\.)\s+(.*)$/
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/

export function blocksOf(text: string): Block[] {
  const found: Block[] = []
  let words: string[] = []
  const lines = text.replaceAll('\r', '').split('\n')
  const flush = (): void => {
    if (words.length > 0) found.push({ kind: 'paragraph', pieces: piecesOf(words.join(' ')) })
    words = []
  }
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? ''
    const [heading, item] = [HEADING.exec(line), ITEM.exec(line)]
    if (line.startsWith('```')) {
      flush()
      const end = lines.findIndex((one, later) => later > at && one.startsWith('```'))
      const stop = end < 0 ? lines.length : end
      found.push({ kind: 'code', text: lines.slice(at + 1, stop).join('\n') })
      at = stop
    } else if (heading) {
      flush()
      found.push({ kind: 'heading', level: heading[1]?.length ?? 1, pieces: piecesOf(heading[2] ?? '') })
    } else if (item) {
      flush()
      const last = found.at(-1)
      if (last?.kind === 'list') last.items.push(piecesOf(item[1] ?? ''))
      else found.push({ kind: 'list', items: [piecesOf(item[1] ?? '')] })
    } else if (line.trim() === '') flush()
    else words.push(line.trim())
  }
  flush()
  return found
}

/** Returns a line's pieces; links elsewhere alone are links. */
export function piecesOf(line: string): Piece[] {
  const found: Piece[] = []
  const add = (kind: Piece['kind'], text: string, href = ''): void => {
    if (text) found.push({ kind, text, href })
  }
  let from = 0
  for (const match of line.matchAll(INLINE)) {
    add('text', line.slice(from, match.index))
    from = match.index + match[0].length
    if (match[1]) add('code', match[1])
    else if (match[2]) add('strong', match[2])
    else if (/^https?:\/\//.test(match[4] ?? '')) add('link', match[3] || (match[4] ?? ''), match[4])
    else add('text', match[3] ?? '')
  }
  add('text', line.slice(from))
  return found
}
