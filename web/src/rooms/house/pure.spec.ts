import { expect, it } from 'vitest'

import { someone } from '@/test/house'

import { pathOf } from './audit/paths'
import { grouped, inWords } from './limits/bounds'
import { inWords as counted } from './overview/counts'
import { partsFor } from './parts'
import { randomPassword } from './people/password'
import { found, megabytes, usedOf } from './people/people'
import { asSent, emptyQuotas, wrongWith } from './people/quotas'

it('counts by status in words and leaves out what is none', () => {
  expect(counted('jobs', { queued: 2, failed: 1200, running: 0 })).toBe('2 waiting, 1,200 failed')
  expect(counted('models', { empty: 1 })).toBe('1 empty')
})

it('says bounds in words, and one that the page does not know too', () => {
  const groups = grouped({ body_max_bytes: 1, bundle_entries: 5, brand_new: 3 })
  expect(groups.flatMap((one) => one.rows.map(([key]) => key))).toEqual(['body_max_bytes', 'bundle_entries', 'brand_new'])
  expect(groups[0]?.settings.has('bundle_entries')).toBe(false)
  expect(inWords('user_per_s', 0)).toBe('no limit')
  expect(inWords('history_days', 0)).toBe('0 days')
  expect([inWords('body_max_bytes', 100 * 1024 ** 2), inWords('scratch_mb', 4096)]).toEqual(['100 MiB', '4 GiB'])
  expect(inWords('zygote_memory_mb', 1500.5)).toBe('1,501 MiB')
})

it('finds people by name and role', () => {
  const all = [someone(), someone({ name: 'eve', roles: ['configurer'], disabled: true })]
  expect(found(all, 'CONFIG').map((one) => one.name)).toEqual(['eve'])
  expect(found(all, 'shut out')).toHaveLength(1)
  expect(found(all, '')).toHaveLength(2)
  expect(megabytes(1.5 * 1024 ** 2)).toBe('1.5 MB')
  expect([usedOf('3', '500'), usedOf('3', undefined)]).toEqual(['3 of 500', '3'])
})

it('sends only the quotas that change', () => {
  const wish = emptyQuotas()
  expect(asSent(wish)).toEqual({})
  wish.calls_per_day = { mode: 'figure', figure: '12' }
  wish.stored_mb = { mode: 'default', figure: '' }
  expect(wrongWith(wish)).toEqual({})
  expect(asSent(wish)).toEqual({ calls_per_day: 12, stored_mb: 'default' })
  for (const figure of ['0', '-1', '1.5', '', 'many']) expect(wrongWith({ ...wish, calls_per_day: { mode: 'figure', figure } })).toHaveProperty('calls_per_day')
})

it('knows where things of the journal are', () => {
  expect(pathOf({ kind: 'version', ref: 'weather@1' })).toBe('/models/weather')
  expect(pathOf({ kind: 'user', ref: 'zoe' })).toBe('/house/users/zoe')
  expect(pathOf({ kind: 'token', ref: 'tok-1' })).toBe('')
})

it('offers the audit to who may read it, and to who stands at its address', () => {
  expect(partsFor(false, 'overview')).not.toContain('audit')
  expect(partsFor(true, 'overview')).toContain('audit')
  expect(partsFor(false, 'audit')).toContain('audit')
})

it('makes passwords that are no two the same', () => {
  expect(randomPassword()).toMatch(/^[a-zA-Z2-9]{24}$/)
  expect(randomPassword()).not.toBe(randomPassword())
})
