/** Server-sent events of an answer to POST, which no EventSource reads. */
export interface Told {
  name: string
  data: unknown
}

export async function* eventsIn(response: Response): AsyncGenerator<Told> {
  if (response.body === null) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const parts = (rest + value).split('\n\n')
      rest = parts.pop() ?? ''
      for (const part of parts) {
        const told = eventOf(part)
        if (told) yield told
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

/** Returns one event; null for a comment. */
export function eventOf(text: string): Told | null {
  const lines = text.split('\n')
  const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5).replace(/^ /, ''))
  if (data.length === 0) return null
  const name = lines.find((line) => line.startsWith('event:'))?.slice(6).trim() ?? 'message'
  return { name, data: JSON.parse(data.join('\n')) }
}
