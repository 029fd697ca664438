import { expect, it } from 'vitest'

import { blocksOf, piecesOf } from './markdown'

it('makes blocks of headings, paragraphs, lists and code', () => {
  const made = blocksOf('# The hall\n\nIt opens\nat night.\n\n- one\n- `two`\n\n```bash\nfairlead push\n# no heading\n```\nend')
  expect(made.map((one) => one.kind)).toEqual(['heading', 'paragraph', 'list', 'code', 'paragraph'])
  expect(made[1]).toEqual({ kind: 'paragraph', pieces: [{ kind: 'text', text: 'It opens at night.', href: '' }] })
  expect(made[3]).toEqual({ kind: 'code', text: 'fairlead push\n# no heading' })
})

it('makes links of addresses elsewhere alone, and no HTML', () => {
  const made = piecesOf('see [here](https://x.org), [there](javascript:alert(1)) and <b>**this**</b>')
  expect(made.filter((one) => one.kind === 'link')).toEqual([{ kind: 'link', text: 'here', href: 'https://x.org' }])
  expect(made.filter((one) => one.kind === 'strong')).toHaveLength(1)
  expect(made.map((one) => one.text).join('')).toBe('see here, there) and <b>this</b>')
})

it('code that is never closed and an empty text end', () => {
  expect(blocksOf('```\nopen')).toEqual([{ kind: 'code', text: 'open' }])
  expect(blocksOf('')).toEqual([])
})
