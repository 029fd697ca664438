/** Whether what was dropped can be pushed at all, before any of it is sent. */
import { ApiError } from '@/api/errors'
import { bytes } from '@/texts/moments'
import { push as texts } from '@/texts/push'

const MAGIC = [0x50, 0x4b, 0x03, 0x04]
/** What a zip may have beside its files. */
const BESIDE_BYTES = 32 * 1024 ** 2

function wrong(code: string, message: string, hint: string): ApiError {
  return new ApiError(-1, code, message, hint)
}

/** Returns the one file of what was dropped; throws {@link ApiError} for a folder, several, or none. */
export function fileOf(dropped: DataTransfer | null): File {
  const items = [...(dropped?.items ?? [])].filter((one) => one.kind === 'file')
  if (items.some((one) => one.webkitGetAsEntry?.()?.isDirectory)) {
    throw wrong('not_a_zip', texts.wrong.folder, texts.wrong.folderHint)
  }
  const files = [...(dropped?.files ?? [])]
  if (files.length > 1) throw wrong('not_a_zip', texts.wrong.many(files.length), texts.wrong.manyHint)
  const [file] = files
  if (file === undefined) throw wrong('not_a_zip', texts.wrong.nothing, texts.wrong.nothingHint)
  return file
}

/** Throws {@link ApiError} unless `file` begins as a zip does and may be so large; `mostBytes` null: unknown. */
export async function check(file: File, mostBytes: number | null): Promise<void> {
  if (file.size === 0) throw wrong('not_a_zip', texts.wrong.empty(file.name), texts.wrong.kindHint)
  const head = new Uint8Array(await file.slice(0, MAGIC.length).arrayBuffer())
  if (!MAGIC.every((byte, at) => head[at] === byte)) {
    throw wrong('not_a_zip', texts.wrong.kind(file.name), texts.wrong.kindHint)
  }
  if (mostBytes !== null && file.size > mostBytes + BESIDE_BYTES) {
    throw wrong('too_large', texts.wrong.large(file.name, bytes(file.size)), texts.wrong.largeHint(bytes(mostBytes)))
  }
}
