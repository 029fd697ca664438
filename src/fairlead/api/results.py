"""Results of jobs as answers: whole or a part, from the row or as a stream from the bucket."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from fairlead.control.house import House
from fairlead.errors import Conflict, Error, Invalid, NotFound
from fairlead.gallery.content import INLINE
from fairlead.identity import links
from fairlead.status import JobStatus
from fairlead.store.records import Job
from fairlead.supervisor import bounds

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
LINK_S = 3600.0
"""A link holds for so long unless said."""
PATH = "/links/jobs"
UNTRUSTED = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
"""Who opens a result in a browser reads what a model made: it must be nothing that acts here, in their name."""


def of_a_device(content_type: str, name: str) -> dict[str, str]:
    """Return the headers of what a device sent, to be called ``name`` where it is saved: it is shown where browsers run
    nothing of its type."""
    shown = "inline" if content_type.partition(";")[0].strip().lower() in INLINE else "attachment"
    return {**UNTRUSTED, "Cache-Control": "no-store", "Content-Disposition": f'{shown}; filename="{name}"'}


async def answer(house: House, job: Job, request: Request, headers: Mapping[str, str]) -> Response:
    """Return what the job answered, as the model gave it, or the part that ``Range`` asks for (RFC 9110 §14).

    Raises the error that the job ended with, and :class:`NotFound` (``result_gone``).
    """
    if job.status is JobStatus.CANCELED:
        raise Conflict(f"{job.id} was canceled", code="job_canceled", hint=f"fairlead jobs replay {job.id}")
    if job.status is JobStatus.FAILED:
        raise error_of(job)
    content_type, headers = bounds.media_type(job.result_type or "application/json"), {**headers, **UNTRUSTED}
    if not job.result_key:
        return Response(job.result or b"", media_type=content_type, headers=headers)
    try:
        return await stored(house, job.result_key, content_type, request, headers)
    except NotFound as error:
        raise NotFound(f"the result of {job.id} is gone", code="result_gone", hint="submit it again") from error


async def stored(
    house: House, key: str, content_type: str, request: Request, headers: Mapping[str, str]
) -> StreamingResponse:
    """Return what lies under ``key`` in the bucket, or the part that ``Range`` asks for; raises :class:`NotFound`."""
    size = (await house.bucket.head(key)).size
    start, end = asked_part(request.headers.get("range", ""), size) or (0, size)
    is_part = (start, end) != (0, size)
    stream = house.bucket.stream(key, start=start, end=end if is_part else None)
    first = await anext(aiter(stream), b"") if size else b""

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for block in stream:
            yield block

    told = {**headers, "Accept-Ranges": "bytes", "Content-Length": str(end - start)}
    if is_part:
        told["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(rest(), 206 if is_part else 200, media_type=content_type, headers=told)


def asked_part(text: str, size: int) -> tuple[int, int] | None:
    """Return where the part that ``Range`` asks for begins and ends; None: all of it, as for every form but one."""
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        return None
    start = int(found[1])
    end = min(size, int(found[2]) + 1) if found[2] else size
    return (start, end) if start < end else None


async def link(house: House, job: Job, for_s: float) -> links.Link | None:
    """Return a link to the result of ``job`` that needs no token; None where there is no result.

    The store's own where it signs some: then the bytes do not come by way of this machine.
    """
    if job.status is not JobStatus.SUCCEEDED:
        return None
    now = house.clock.now()
    for_s = min(for_s, links.LONGEST_S, (job.expires_at - now).total_seconds() if job.expires_at else for_s)
    if for_s < 1:
        return None
    if job.result_key:
        try:
            url = await house.bucket.signed_url(job.result_key, expires_s=for_s)
        except Error:  # such as credentials that may not sign: ours is as good
            url = None
        if url is not None:
            return links.Link(url, links.ends(now, for_s))
    return links.link(house.sealer, house.settings.url, f"{PATH}/{job.id}", now, for_s)


def error_of(job: Job) -> Error:
    """Return the error that a job ended with."""
    found = job.error
    if found is None:
        return Conflict(f"{job.id} failed: {job.reason}", code="job_failed", hint=f"fairlead jobs replay {job.id}")
    if found.kind == "invalid":
        return Invalid(found.message, code=found.code, hint=found.hint, problems=found.problems)
    return Conflict(
        f"{job.id} failed: {found.message}", code=found.code, hint=found.hint or f"fairlead jobs replay {job.id}"
    )
