/**
 * Takes away the one folder that file managers pack around what they are given, and what they leave there of their own.
 *
 * Source of the format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3. Nothing is unpacked and
 * nothing is held in memory but the directory; what this does not understand stays as it is, for the platform to judge.
 */
const END = 0x06054b50
const END_BYTES = 22
const COMMENT_MAX = 65_535
const ENTRY = 0x02014b50
const ENTRY_BYTES = 46
const LOCAL = 0x04034b50
const LOCAL_BYTES = 30
/** Flag: sizes come after the data. */
const FOLLOWS = 0x0008
const ZIP64 = 0xffffffff
const MANIFEST = 'fairlead.toml'
const LEFT_BEHIND = /(^|\/)(__MACOSX\/|\.DS_Store$|Thumbs\.db$|desktop\.ini$)/

interface Entry {
  name: string
  raw: DataView
  bytes: Uint8Array
}

/** Returns the zip as it would be if its folder had been packed from inside. */
export async function unwrapped(zip: Blob): Promise<Blob> {
  const entries = await directoryOf(zip)
  if (entries === null) return zip
  const own = entries.filter((one) => !LEFT_BEHIND.test(one.name))
  const folder = own.some((one) => one.name === MANIFEST) ? '' : wrapping(own)
  if (folder === null || (folder === '' && own.length === entries.length)) return zip
  return packed(
    zip,
    own.filter((one) => one.name !== folder),
    new TextEncoder().encode(folder).length,
  )
}

/** Returns the folder around everything, with its slash; null where there is none with a manifest. */
function wrapping(entries: readonly Entry[]): string | null {
  const folder = `${entries[0]?.name.split('/')[0] ?? ''}/`
  const isAround = entries.every((one) => one.name.startsWith(folder))
  return isAround && entries.some((one) => one.name === folder + MANIFEST) ? folder : null
}

async function directoryOf(zip: Blob): Promise<Entry[] | null> {
  const from = Math.max(0, zip.size - END_BYTES - COMMENT_MAX)
  const tail = await view(zip, from, zip.size)
  let at = tail.byteLength - END_BYTES
  while (at >= 0 && tail.getUint32(at, true) !== END) at--
  if (at < 0) return null
  const [count, size, start] = [tail.getUint16(at + 10, true), tail.getUint32(at + 12, true), tail.getUint32(at + 16, true)]
  if (start === ZIP64 || start + size > zip.size) return null
  return entriesOf(await view(zip, start, start + size), count)
}

function entriesOf(raw: DataView, count: number): Entry[] | null {
  const found: Entry[] = []
  for (let at = 0; found.length < count; ) {
    if (at + ENTRY_BYTES > raw.byteLength || raw.getUint32(at, true) !== ENTRY) return null
    const [name, extra, comment] = [raw.getUint16(at + 28, true), raw.getUint16(at + 30, true), raw.getUint16(at + 32, true)]
    const sizes = [raw.getUint32(at + 20, true), raw.getUint32(at + 24, true), raw.getUint32(at + 42, true)]
    if (sizes.includes(ZIP64) || at + ENTRY_BYTES + name > raw.byteLength) return null
    const bytes = new Uint8Array(raw.buffer, raw.byteOffset + at + ENTRY_BYTES, name)
    found.push({ name: new TextDecoder().decode(bytes), raw: new DataView(raw.buffer, raw.byteOffset + at, ENTRY_BYTES), bytes })
    at += ENTRY_BYTES + name + extra + comment
  }
  return found
}

/** Returns a zip of `entries` alone, each name without its first `cut` bytes. */
async function packed(zip: Blob, entries: readonly Entry[], cut: number): Promise<Blob> {
  const heads = await Promise.all(entries.map((one) => localOf(zip, one)))
  const files: BlobPart[] = []
  const directory: BlobPart[] = []
  let [at, size] = [0, 0]
  entries.forEach((one, index) => {
    const name = one.bytes.slice(cut)
    const length = one.raw.getUint32(20, true)
    const start = heads[index] ?? 0
    files.push(localHead(one.raw, name), zip.slice(start, start + length))
    const record = entryOf(one.raw, name, at)
    directory.push(record)
    at += LOCAL_BYTES + name.length + length
    size += record.length
  })
  return new Blob([...files, ...directory, endOf(entries.length, size, at)], { type: 'application/zip' })
}

/** Returns where an entry's data begins. */
async function localOf(zip: Blob, entry: Entry): Promise<number> {
  const start = entry.raw.getUint32(42, true)
  const head = await view(zip, start, start + LOCAL_BYTES)
  return start + LOCAL_BYTES + head.getUint16(26, true) + head.getUint16(28, true)
}

function localHead(entry: DataView, name: Uint8Array): Uint8Array<ArrayBuffer> {
  const made = new Uint8Array(LOCAL_BYTES + name.length)
  const to = new DataView(made.buffer)
  to.setUint32(0, LOCAL, true)
  for (let at = 0; at < 22; at += 2) to.setUint16(4 + at, entry.getUint16(6 + at, true), true) // version to sizes
  to.setUint16(6, entry.getUint16(8, true) & ~FOLLOWS, true)
  to.setUint16(26, name.length, true)
  made.set(name, LOCAL_BYTES)
  return made
}

function entryOf(entry: DataView, name: Uint8Array, at: number): Uint8Array<ArrayBuffer> {
  const made = new Uint8Array(ENTRY_BYTES + name.length)
  made.set(new Uint8Array(entry.buffer, entry.byteOffset, ENTRY_BYTES))
  const to = new DataView(made.buffer)
  to.setUint16(8, entry.getUint16(8, true) & ~FOLLOWS, true)
  to.setUint16(28, name.length, true)
  to.setUint32(30, 0, true) // neither extra nor comment
  to.setUint32(42, at, true)
  made.set(name, ENTRY_BYTES)
  return made
}

function endOf(count: number, size: number, start: number): Uint8Array<ArrayBuffer> {
  const made = new Uint8Array(END_BYTES)
  const to = new DataView(made.buffer)
  to.setUint32(0, END, true)
  to.setUint16(8, count, true)
  to.setUint16(10, count, true)
  to.setUint32(12, size, true)
  to.setUint32(16, start, true)
  return made
}

async function view(zip: Blob, from: number, to: number): Promise<DataView> {
  return new DataView(await zip.slice(from, to).arrayBuffer())
}
