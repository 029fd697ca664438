/** Sound as WAV: 16 bits, one channel. Format: http://soundfile.sapp.org/doc/WaveFormat/ */
const HEAD_BYTES = 44

/** Returns the bytes of `samples`, each from -1 to 1. */
export function wav(samples: Float32Array, rateHz: number): ArrayBuffer {
  const made = new DataView(new ArrayBuffer(HEAD_BYTES + samples.length * 2))
  const say = (at: number, text: string): void => [...text].forEach((one, i) => made.setUint8(at + i, one.charCodeAt(0)))
  say(0, 'RIFF')
  made.setUint32(4, HEAD_BYTES - 8 + samples.length * 2, true)
  say(8, 'WAVEfmt ')
  made.setUint32(16, 16, true)
  made.setUint16(20, 1, true)
  made.setUint16(22, 1, true)
  made.setUint32(24, rateHz, true)
  made.setUint32(28, rateHz * 2, true)
  made.setUint16(32, 2, true)
  made.setUint16(34, 16, true)
  say(36, 'data')
  made.setUint32(40, samples.length * 2, true)
  samples.forEach((one, i) => made.setInt16(HEAD_BYTES + i * 2, Math.max(-1, Math.min(1, one)) * 0x7fff, true))
  return made.buffer
}
