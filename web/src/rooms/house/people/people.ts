/** People found, and what they use in words. Pure. */
import type { Role } from '@/api/words'
import { people as texts } from '@/texts/house'

import type { Person } from '../queries'

export const ROLES = Object.keys(texts.roleNames) as Role[]

export function nameOfRole(role: string): string {
  return (texts.roleNames as Record<string, string>)[role] ?? role
}

/** Returns those whose name or roles have all the words. */
export function found(people: readonly Person[], words: string): Person[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean)
  return people.filter((one) => {
    const said = [one.name, ...one.roles, ...one.roles.map(nameOfRole), one.disabled ? texts.disabled : ''].join(' ').toLowerCase()
    return wanted.every((word) => said.includes(word))
  })
}

const MB = 1024 ** 2

/** Returns bytes as quotas count them: a megabyte has 1,048,576. */
export function megabytes(count: number): string {
  return `${Number((count / MB).toFixed(1)).toLocaleString('en')} MB`
}

/** Returns `3 of 500`, or `3` where there is no most. */
export function usedOf(used: string, most: string | undefined): string {
  return most === undefined ? used : texts.of(used, most)
}
