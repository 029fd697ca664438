/** Examples of a manifest as values of the form: texts that name a file of the bundle become that file. */
import { heard } from '@/api/client'
import { refusalOf } from '@/api/errors'
import { ask } from '@/api/place'

import type { Values } from './call'
import type { Field } from './fields'

/** Returns the values; throws what fetching a file throws. */
export async function valuesOf(model: string, at: number, input: Values, fields: readonly Field[]): Promise<Values> {
  const found: Values = { ...input }
  for (const field of fields) {
    const value = input[field.name]
    if (field.kind !== 'file' || value === undefined || value === null) continue
    const files = await Promise.all([value].flat().map((one) => fileOf(model, at, String(one))))
    found[field.name] = field.many ? files : files[0]
  }
  return found
}

async function fileOf(model: string, at: number, told: string): Promise<File> {
  const isData = told.startsWith('data:')
  const path = told.split('/').map(encodeURIComponent).join('/')
  const response = await (isData ? fetch(told) : ask(`/api/v1/models/${model}/examples/${at}/${path}`))
  if (!isData) heard(response)
  if (!response.ok) throw refusalOf(response, await response.json().catch(() => null))
  const blob = await response.blob()
  return new File([blob], isData ? 'example' : (told.split('/').pop() ?? 'example'), { type: blob.type })
}
