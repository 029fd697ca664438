/** Lines of a chart, and how they come onto one axis of time. Pure. */
export interface Line {
  name: string
  /** Moment in seconds (Unix) and value; null: there was none. In the order of time. */
  points: readonly (readonly [number, number | null])[]
}

/** Returns the moments of all lines and, for each line, its value at each of them (undefined: none was told). */
export function aligned(lines: readonly Line[]): [number[], ...(number | null | undefined)[][]] {
  const moments = [...new Set(lines.flatMap((line) => line.points.map(([at]) => at)))].sort((one, other) => one - other)
  const columns = lines.map((line) => {
    const known = new Map(line.points)
    return moments.map((at) => known.get(at))
  })
  return [moments, ...columns]
}
