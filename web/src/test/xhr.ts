/** An upload of the page, answered as `fetch` is; half of it is told to be sent before. */
import { vi } from 'vitest'

export class XhrStub {
  status = 0
  responseText = ''
  withCredentials = false
  upload: { onprogress: ((event: object) => void) | null } = { onprogress: null }
  onload: (() => void) | null = null
  onerror: (() => void) | null = null
  onabort: (() => void) | null = null
  private readonly headers = new Headers()
  private method = ''
  private path = ''
  private isOver = false
  private retryAfter: string | null = null

  open(method: string, path: string): void {
    this.method = method
    this.path = path
  }
  setRequestHeader(name: string, value: string): void {
    this.headers.set(name, value)
  }
  getResponseHeader(): string | null {
    return this.retryAfter
  }
  abort(): void {
    this.isOver = true
    this.onabort?.()
  }
  send(body: Blob): void {
    this.upload.onprogress?.({ lengthComputable: true, loaded: body.size / 2, total: body.size })
    void this.answer(body)
  }

  private async answer(body: Blob): Promise<void> {
    try {
      const answer = await fetch(this.path, { method: this.method, headers: this.headers, body })
      if (this.isOver) return
      this.status = answer.status
      this.retryAfter = answer.headers.get('retry-after')
      this.responseText = await answer.text()
      this.onload?.()
    } catch {
      this.onerror?.()
    }
  }
}

vi.stubGlobal('XMLHttpRequest', XhrStub)
