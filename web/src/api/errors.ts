/** Refusals of the platform, as each of its answers tells them: what, why, and what next. */
export interface Problem {
  path: string
  rule: string
  message: string
  hint: string
}

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 where nothing answered. */
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint = '',
    /** Of the request, for whoever looks into the logs. */
    readonly id = '',
    readonly problems: readonly Problem[] = [],
    readonly retryAfterS: number | null = null,
  ) {
    super(message)
  }

  /** Whether the same request may well be answered a moment later. */
  get passes(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504
  }
}

interface Told {
  error?: { code?: string; message?: string; hint?: string; id?: string; problems?: Problem[] }
}

/** Returns the refusal that `body` tells; one that is no JSON of ours is told by its status alone. */
export function refusalOf(response: Response, body: unknown): ApiError {
  const told = (body as Told | null)?.error
  const wait = Number(response.headers.get('retry-after'))
  const retryAfterS = Number.isFinite(wait) && wait > 0 ? wait : null
  if (!told?.code) {
    return new ApiError(response.status, 'http_error', `The platform answered ${response.status}.`, '', '', [], retryAfterS)
  }
  return new ApiError(
    response.status,
    told.code,
    told.message ?? told.code,
    told.hint ?? '',
    told.id ?? '',
    told.problems ?? [],
    retryAfterS,
  )
}

export function unreachable(): ApiError {
  return new ApiError(0, 'unreachable', 'The platform does not answer.', 'This page goes on as soon as it does.')
}
