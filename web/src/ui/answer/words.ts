/** Names of fields in words. Pure. */

/** Returns `inputFile` and `input_file` as `Input file`. */
export function inWords(name: string): string {
  const words = name.replace(/_/g, ' ').replace(/([a-z])([A-Z])/g, (_, one: string, two: string) => `${one} ${two.toLowerCase()}`)
  return words.slice(0, 1).toUpperCase() + words.slice(1)
}
