/** What is sent to keep an answer: the job that made it, or the call and its answer. */
import type { Schemas } from '@/api/client'

import type { Answer } from './usePlay'

export type Asked = { model: string; endpoint: string; body: unknown }
type Source = Pick<Schemas['KeepBody'], 'job' | 'model' | 'endpoint' | 'inputs' | 'answer'>


/** As many as may be arguments of one call. */
const PART_BYTES = 0x8000

export async function sourceOf(answer: Answer, asked: Asked): Promise<Source> {
  if (answer.job) return { job: answer.job, endpoint: asked.endpoint, inputs: {} }
  const at = answer.version ? `@${answer.version}` : ''
  const value = answer.file ? await dataUrl(answer.file.blob, answer.file.kind) : answer.value
  return { model: asked.model + at, endpoint: asked.endpoint, inputs: inputsOf(asked.body), answer: value }
}

/** Returns what was asked without its files; nothing where that is no object. */
export function inputsOf(body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return {}
  return Object.fromEntries(Object.entries(body).filter(([, value]) => ![value].flat().some((one) => one instanceof Blob)))
}

async function dataUrl(blob: Blob, kind: string): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer())
  let text = ''
  for (let at = 0; at < bytes.length; at += PART_BYTES) text += String.fromCharCode(...bytes.subarray(at, at + PART_BYTES))
  return `data:${kind};base64,${btoa(text)}`
}
