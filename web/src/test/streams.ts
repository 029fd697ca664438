/** Streams of events that a test speaks on. */
export class StreamStub extends EventTarget {
  static readonly CLOSED = 2
  static readonly all: StreamStub[] = []
  readyState = 1
  onopen: (() => void) | null = null
  onerror: (() => void) | null = null

  constructor(readonly url: string) {
    super()
    StreamStub.all.push(this)
  }

  close(): void {
    this.readyState = StreamStub.CLOSED
  }

  /** Says one event to whoever listens. */
  say(name: string, data: unknown): void {
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data) }))
  }

  /** Returns the stream that is open at an address that ends so. */
  static at(end: string): StreamStub {
    const found = StreamStub.all.find((one) => one.url.endsWith(end) && one.readyState !== StreamStub.CLOSED)
    if (!found) throw new Error(`nobody listens at …${end}; open: ${StreamStub.all.map((one) => one.url).join(', ')}`)
    return found
  }
}
