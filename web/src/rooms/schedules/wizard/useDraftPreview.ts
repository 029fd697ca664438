/** What a draft would come to, asked of the platform a moment after the last change of it. */
import { computed, onScopeDispose, ref, watch } from 'vue'

import { useRemote } from '@/state/remote'

import { bodyOf, type Draft, wrongWith } from '../draft'
import { type ScheduleBody, usePreview } from '../queries'

const QUIET_MS = 350
/** Problems of these fields are told where devices are, all others where times are. */
const OF_PLACE = ['app', 'at', 'bind', 'devices']

/** `isTimed`: whether times are asked about too. `of` names the schedule that the draft is to change. */
export function useDraftPreview(draft: Draft, isTimed: () => boolean, of = '') {
  const body = ref<ScheduleBody | null>(null)
  let timer: ReturnType<typeof setTimeout> | undefined
  let asked = ''

  function ask(): void {
    const isAsked = draft.app !== '' && draft.at.trim() !== '' && (!isTimed() || Object.keys(wrongWith(draft)).length === 0)
    // name and addresses change nothing of it; they are judged when it is made
    const next = isAsked ? { ...bodyOf(draft, isTimed()), name: of || null, notify: [] } : null
    const said = JSON.stringify(next)
    if (said === asked) return
    asked = said
    body.value = next
  }
  ask()
  watch([draft, isTimed], () => {
    clearTimeout(timer)
    timer = setTimeout(ask, QUIET_MS)
  })
  onScopeDispose(() => clearTimeout(timer))

  const query = usePreview(body, of)
  const preview = computed(() => (body.value === null ? undefined : query.data.value))
  const problems = computed(() => preview.value?.problems ?? [])
  const ofPlace = (path: string): boolean => OF_PLACE.includes(path.split('.')[0] ?? '')
  return {
    body,
    remote: useRemote(query),
    preview,
    isOld: computed(() => query.isPlaceholderData.value || query.isFetching.value),
    placeProblems: computed(() => problems.value.filter((one) => ofPlace(one.path))),
    timeProblems: computed(() => problems.value.filter((one) => !ofPlace(one.path))),
  }
}

export type DraftPreview = ReturnType<typeof useDraftPreview>
