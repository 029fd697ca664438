/** One large body on its way to the platform, with how far it is: `fetch` does not tell that. */
import { ApiError, refusalOf, unreachable } from '@/api/errors'
import { at, signature } from '@/api/place'

import { connection } from './connection'
import { session } from './session'

export interface Upload<T> {
  /** What was answered; throws {@link ApiError}, and `AbortError` once it was canceled. */
  answer: Promise<T>
  cancel: () => void
}

/** Posts `body` and calls `progress` with the share of it that was sent, 0 to 1. */
export function upload<T>(path: string, body: Blob, type: string, progress: (share: number) => void): Upload<T> {
  const request = new XMLHttpRequest()
  const answer = new Promise<T>((resolve, reject) => {
    request.open('POST', at(path))
    for (const [name, value] of Object.entries(signature())) request.setRequestHeader(name, value)
    request.setRequestHeader('Content-Type', type)
    request.upload.onprogress = (event) => {
      if (event.lengthComputable && event.total > 0) progress(event.loaded / event.total)
    }
    request.onload = () => {
      connection.found()
      if (request.status === 401) session.end()
      const told = jsonOf(request.responseText)
      if (request.status >= 200 && request.status < 300) resolve(told as T)
      else reject(refusalOf(headOf(request), told))
    }
    request.onerror = () => reject(brokenOff())
    request.onabort = () => reject(new DOMException('it was canceled', 'AbortError'))
    request.send(body)
  })
  return { answer, cancel: () => request.abort() }
}

function brokenOff(): ApiError {
  connection.lost()
  return unreachable()
}

function headOf(request: XMLHttpRequest): Response {
  const wait = request.getResponseHeader('retry-after')
  return new Response(null, { status: request.status, headers: wait ? { 'retry-after': wait } : {} })
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
