/** Passwords made here for somebody who lost theirs; the platform keeps no plain one to show. */
const LETTERS = 'abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'
const LENGTH = 24

/** Returns a new password of the browser's own randomness; no letter is likelier than another. */
export function randomPassword(): string {
  const fair = 256 - (256 % LETTERS.length)
  let made = ''
  while (made.length < LENGTH) {
    const drawn = crypto.getRandomValues(new Uint8Array(LENGTH))
    for (const one of drawn) if (one < fair && made.length < LENGTH) made += LETTERS[one % LETTERS.length]
  }
  return made
}
