/** Zips of stored files, as a file manager writes them. Checksums are not looked at here and stay 0. */
const text = new TextEncoder()

function head(signature: number, bytes: number, fields: [at: number, value: number, size: 2 | 4][]): Uint8Array<ArrayBuffer> {
  const made = new Uint8Array(bytes)
  const to = new DataView(made.buffer)
  to.setUint32(0, signature, true)
  for (const [at, value, size] of fields) {
    if (size === 2) to.setUint16(at, value, true)
    else to.setUint32(at, value, true)
  }
  return made
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const made = new Uint8Array(parts.reduce((sum, one) => sum + one.length, 0))
  let at = 0
  for (const one of parts) {
    made.set(one, at)
    at += one.length
  }
  return made
}

export function makeZip(files: Record<string, string>): Uint8Array<ArrayBuffer> {
  const local: Uint8Array[] = []
  const directory: Uint8Array[] = []
  let at = 0
  for (const [path, said] of Object.entries(files)) {
    const [name, data] = [text.encode(path), text.encode(said)]
    const length = data.length
    local.push(head(0x04034b50, 30, [[18, length, 4], [22, length, 4], [26, name.length, 2]]), name, data)
    directory.push(head(0x02014b50, 46, [[20, length, 4], [24, length, 4], [28, name.length, 2], [42, at, 4]]), name)
    at += 30 + name.length + length
  }
  const size = directory.reduce((sum, one) => sum + one.length, 0)
  const count = Object.keys(files).length
  return joined([...local, ...directory, head(0x06054b50, 22, [[8, count, 2], [10, count, 2], [12, size, 4], [16, at, 4]])])
}

/** Returns what a zip of stored files holds, as its local heads and its directory both tell it. */
export async function namesOf(zip: Blob): Promise<Record<string, string>> {
  const raw = new DataView(await zip.arrayBuffer())
  const found: Record<string, string> = {}
  const end = raw.byteLength - 22
  let at = raw.getUint32(end + 16, true)
  for (let left = raw.getUint16(end + 10, true); left > 0; left--) {
    const [size, length, start] = [raw.getUint32(at + 20, true), raw.getUint16(at + 28, true), raw.getUint32(at + 42, true)]
    const read = (from: number, bytes: number) => new TextDecoder().decode(new Uint8Array(raw.buffer, from, bytes))
    const name = read(at + 46, length)
    if (read(start + 30, length) !== name) throw new Error(`${name} is called otherwise before its data`)
    found[name] = read(start + 30 + length, size)
    at += 46 + length
  }
  return found
}
