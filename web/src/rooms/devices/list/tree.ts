/** Places as a tree, with how many devices are in each and below. Pure. */
import type { Device, Place } from '../queries'

export interface Node {
  path: string
  /** Last name of the path. */
  name: string
  title: string
  /** 1 for those at the top. */
  level: number
  devices: number
  children: Node[]
}

/** Returns the places at the top. A place that only a device names is there too. */
export function treeOf(places: readonly Place[], devices: readonly Device[]): Node[] {
  const nodes = new Map<string, Node>()
  const top: Node[] = []

  function node(path: string): Node {
    const known = nodes.get(path)
    if (known) return known
    const cut = path.lastIndexOf('/')
    const above = cut < 0 ? null : node(path.slice(0, cut))
    const made: Node = { path, name: path.slice(cut + 1), title: '', level: (above?.level ?? 0) + 1, devices: 0, children: [] }
    nodes.set(path, made)
    ;(above?.children ?? top).push(made)
    return made
  }

  for (const place of places) node(place.path).title = place.title
  for (const device of devices) {
    node(device.at)
    for (const path of above(device.at)) node(path).devices += 1
  }
  const byName = (one: Node, other: Node): number => one.name.localeCompare(other.name, 'en', { numeric: true })
  for (const one of nodes.values()) one.children.sort(byName)
  return top.sort(byName)
}

/** Returns a place and all above it, from the top: `a/b` is `a` and `a/b`. */
export function above(path: string): string[] {
  const names = path.split('/')
  return names.map((_, at) => names.slice(0, at + 1).join('/'))
}

/** Returns the nodes that are seen when those in `open` show their children, from top to bottom. */
export function seen(nodes: readonly Node[], open: ReadonlySet<string>): Node[] {
  return nodes.flatMap((one) => [one, ...(open.has(one.path) ? seen(one.children, open) : [])])
}
