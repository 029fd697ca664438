/** Own pictures and sounds of simulated devices: what each can show, and files as the API takes them. */
import type { Device, DeviceType } from '../queries'

export type Shows = 'pictures' | 'sounds'

/** What all of it may have together: bodies of the API have 4 MiB, and base64 makes four of three. */
export const MOST_BYTES = 2_900_000
const SIDE_PX = 1_280
const QUALITY = 0.85

/** Returns what a device of a type can be given; null: it tells neither pictures nor sounds. */
export function showsOf(device: Device, types: readonly DeviceType[]): Shows | null {
  const type = types.find((one) => one.name === device.type && one.version === device.type_version)
  const kinds = Object.values(type?.properties ?? {}).map((one) => String((one as Record<string, unknown>).contentMediaType ?? ''))
  if (kinds.some((one) => one === 'image/jpeg' || one === 'application/zip')) return 'pictures'
  return kinds.includes('audio/wav') ? 'sounds' : null
}

/** Returns how large a picture is once its longer side has `SIDE_PX` at most. */
export function fitted(width: number, height: number): { width: number; height: number } {
  const by = Math.min(1, SIDE_PX / Math.max(width, height))
  return { width: Math.max(1, Math.round(width * by)), height: Math.max(1, Math.round(height * by)) }
}

/** Returns a file as a device shows it: any picture as a JPEG of a camera's size, a WAV as it is; null: it is none. */
export async function recording(file: File, shows: Shows): Promise<Blob | null> {
  if (shows === 'sounds') return (await file.slice(0, 4).text()) === 'RIFF' ? file : null
  let picture: ImageBitmap
  try {
    picture = await createImageBitmap(file)
  } catch {
    return null
  }
  const size = fitted(picture.width, picture.height)
  const canvas = Object.assign(document.createElement('canvas'), size)
  canvas.getContext('2d')?.drawImage(picture, 0, 0, size.width, size.height)
  picture.close()
  return new Promise((done) => canvas.toBlob(done, 'image/jpeg', QUALITY))
}

export async function base64(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer())
  let text = ''
  for (let at = 0; at < bytes.length; at += 32_768) text += String.fromCharCode(...bytes.subarray(at, at + 32_768))
  return btoa(text)
}

/** New recordings by device; null: what it has is taken away. */
export type Given = Record<string, Blob[] | null>

/** Returns `media` of the call: null where nothing changes, else every device that has some afterwards. */
export async function mediaOf(given: Given, had: Record<string, number>): Promise<Record<string, string[] | null> | null> {
  if (Object.keys(given).length === 0) return null
  const media: Record<string, string[] | null> = {}
  for (const device of Object.keys(had)) if (given[device] === undefined) media[device] = null
  for (const [device, some] of Object.entries(given)) if (some) media[device] = await Promise.all(some.map(base64))
  return media
}

export function sizeOf(given: Given): number {
  return Object.values(given).reduce((sum, some) => sum + (some ?? []).reduce((all, one) => all + one.size, 0), 0)
}
