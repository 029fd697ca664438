import '@/test/xhr'

import { fireEvent } from '@testing-library/vue'
import { expect, it } from 'vitest'

import { ME, refused, screen, showAt, waitFor, within } from '@/test/harness'
import { appVersion } from '@/test/runs'
import { StreamStub } from '@/test/streams'

import { unwrapped } from './unwrap'
import { makeZip, namesOf } from '@/test/zips'

const SYSTEM = { 'GET /api/v1/system': { limits: { bundle_max_bytes: 4_000_000_000 } } }
const PUSHED = { kind: 'model', name: 'weather', version: '3', digest: 'd', status: 'building', url: 'http://m', warnings: ['no examples'] }
const zip = (name = 'weather.zip') => new File([makeZip({ 'fairlead.toml': 'x' })], name, { type: 'application/zip' })

it('a zip is sent, followed step by step, and leads to what was made', async () => {
  let answer = (_: unknown): void => undefined
  const { user, calls } = await showAt('/push', {
    ...SYSTEM,
    'GET /api/v1/logs': { items: [], next: null },
    'POST /api/v1/bundles': () => new Promise((resolve) => (answer = resolve)),
  })
  await user.selectOptions(await screen.findByRole('combobox', { name: 'Alias' }), 'none')
  await user.upload(screen.getByLabelText('Choose a zip'), zip())
  expect(await screen.findByRole('progressbar', { name: 'Sending weather.zip' })).toHaveAttribute('value', '0.5')
  answer(PUSHED)

  expect(await screen.findByText('It is being prepared')).toBeVisible()
  const post = calls.find((one) => one.method === 'POST')
  expect([post?.query.get('alias'), post?.headers.get('content-type')]).toEqual(['none', 'application/zip'])
  const stream = StreamStub.at('/api/v1/models/weather/versions/3/events')
  stream.say('step', appVersion('3', { status: 'building', said: 'building its environment' }))
  expect(await within(screen.getByRole('log', { name: 'Steps' })).findByText('building its environment')).toBeVisible()
  stream.say('done', appVersion('3', { reason: 'a replica is ready' }))
  expect(await screen.findByRole('link', { name: 'Try it' })).toHaveAttribute('href', '/ui/models/weather')
  expect(screen.getByText('no examples')).toBeVisible()
  expect(stream.readyState).toBe(StreamStub.CLOSED)
})

it('tells every problem, where it is and what to do', async () => {
  const problems = [
    { path: 'name', rule: 'name', message: "'<b>x</b>' is not a name", hint: 'lower-case letters' },
    { path: 'run.entry', rule: 'entry', message: 'no such class', hint: 'as in model:M' },
  ]
  const { user } = await showAt('/push', {
    ...SYSTEM,
    'POST /api/v1/bundles': refused(422, 'bundle_invalid', 'the bundle has problems', { problems }),
  })
  await user.upload(await screen.findByLabelText('Choose a zip'), zip('<img src=x>.zip'))
  const told = await screen.findByRole('alert')
  expect(told).toHaveTextContent('2 problems')
  expect(within(told).getByText(/<b>x<\/b>/)).toBeVisible()
  expect(within(told).getByText('as in model:M')).toBeVisible()
  expect(told.querySelector('b, img')).toBeNull()
  expect(screen.getByLabelText('Choose a zip')).toBeEnabled()
})

it('what failed says why, with its last lines', async () => {
  const { user } = await showAt('/push', { ...SYSTEM, 'POST /api/v1/bundles': { ...PUSHED, kind: 'app' } })
  await user.upload(await screen.findByLabelText('Choose a zip'), zip())
  await waitFor(() => StreamStub.at('/api/v1/apps/weather/versions/3/events'))
  const error = { code: 'x', message: 'No module named pandas', hint: 'add it to requires' }
  StreamStub.at('/versions/3/events').say('error', appVersion('3', { status: 'failed', error, last_lines: ['Traceback', '<i>x</i>'] }))
  expect(await screen.findByText('No module named pandas')).toBeVisible()
  expect(screen.getByLabelText('Last lines')).toHaveTextContent('<i>x</i>')
  await user.click(screen.getByRole('button', { name: 'Push another' }))
  expect(await screen.findByLabelText('Choose a zip')).toBeVisible()
})

it.each([
  ['a picture', () => [new File(['GIF89a'], 'cat.gif')], /cat\.gif is no zip/],
  ['an empty file', () => [new File([], 'empty.zip')], /empty\.zip is empty/],
  ['two at once', () => [zip(), zip()], /Those are 2 files/],
  ['no file', () => [], /no file in it/],
])('%s is refused before anything is sent', async (_what, files, said) => {
  const { calls } = await showAt('/push', SYSTEM)
  await fireEvent.drop(await screen.findByText('Drop a zip here'), { dataTransfer: { files: files(), items: [] } })
  expect(await screen.findByText(said)).toBeVisible()
  expect(calls.some((one) => one.method === 'POST')).toBe(false)
})

it('who may push nothing is told who may', async () => {
  await showAt('/push', { ...SYSTEM, 'GET /api/v1/me': { ...ME, roles: ['user'] } })
  expect(await screen.findByText('You may not push')).toBeVisible()
  expect(screen.queryByLabelText('Choose a zip')).toBeNull()
})

it('the folder around a bundle is taken away, with what file managers leave', async () => {
  const packed = new Blob([
    makeZip({ 'm/': '', 'm/fairlead.toml': 'kind', 'm/a/b.py': 'print()', '__MACOSX/m/._a': '', 'm/.DS_Store': '' }),
  ])
  const made = await unwrapped(packed)
  expect(await namesOf(made)).toEqual({ 'fairlead.toml': 'kind', 'a/b.py': 'print()' })
  const whole = new Blob([makeZip({ 'fairlead.toml': 'kind', 'a/b.py': '' })])
  expect(await unwrapped(whole)).toBe(whole)
  for (const other of [makeZip({ 'a/fairlead.toml': '', 'b/c': '' }), new Uint8Array([1, 2, 3])]) {
    const blob = new Blob([other])
    expect(await unwrapped(blob)).toBe(blob)
  }
})
