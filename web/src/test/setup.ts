import '@testing-library/jest-dom/vitest'

import { cleanup, configure } from '@testing-library/vue'
import { afterEach, beforeEach, vi } from 'vitest'

import { tour } from '@/shell/tour/tour'
import { connection } from '@/state/connection'
import { session } from '@/state/session'
import { toasts } from '@/state/toasts'

import { StreamStub } from './streams'

// as the tests of the platform: a busy machine is no fault of what is tested
configure({ asyncUtilTimeout: 10_000 })

class ResizeObserverStub {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

vi.stubGlobal('ResizeObserver', ResizeObserverStub)
vi.stubGlobal('EventSource', StreamStub)
vi.stubGlobal('scrollTo', () => undefined)
vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener() {}, removeEventListener() {} }))
URL.createObjectURL = () => 'blob:shown'
URL.revokeObjectURL = () => undefined
Element.prototype.hasPointerCapture ??= () => false
Element.prototype.scrollIntoView ??= () => undefined

beforeEach(() => {
  connection.away = false
  session.ended = false
  session.user = ''
  toasts.length = 0
  tour.end()
  localStorage.setItem('fairlead.tour.ada', 'had') // a test of the tour forgets it
  StreamStub.all.length = 0
})
afterEach(cleanup)
