"""What a request to keep a call asks for: its body, and what its headers say of the job."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from fairlead import ids
from fairlead.api.call import Call
from fairlead.buckets.keys import input_key
from fairlead.clock import from_text
from fairlead.control.directory import Called
from fairlead.control.house import House
from fairlead.errors import Invalid
from fairlead.jobs.forms import around, with_query
from fairlead.jobs.submitting import Submission
from fairlead.messages import INLINE_MAX_BYTES
from fairlead.modelserver.protocols.packing import Unpacker

WAIT_MAX_S = 300.0
_WAIT = re.compile(r"wait\s*=\s*(\d+(?:\.\d+)?)")
_FILENAME = re.compile(r'filename="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Content:
    """The body of a call: here, or in the bucket."""

    content_type: str
    body: bytes | None = None
    key: str = ""
    digest: str = ""
    """Hex SHA-256 of what lies in the bucket."""


async def submission(
    call: Call, house: House, version: Called, entry: str, now: datetime, alias: str = ""
) -> Submission:
    """Return what ``call`` asks of ``entry`` of a version, found by ``alias`` if any; a large input is put into the
    bucket as it comes. Raises :class:`Invalid`, and what the bucket raises."""
    given, record = call.headers.get, version.record
    deadline = _deadline(call, now)
    job_id = ids.new("job")
    content = await _content(call, house, version, entry, job_id)
    return Submission(
        body=content.body,
        input_key=content.key,
        input_hash=content.digest,
        id=job_id,
        model=record.model,
        version=record.version,
        alias=alias,
        endpoint=entry,
        content_type=content.content_type,
        accept=given("accept", "*/*"),
        idempotency_key=given("idempotency-key"),
        priority=given("x-priority", "normal"),
        deadline_at=deadline,
        callback_url=given("x-callback-url"),
        timeout_s=version.timeout_s,
        request=call.id,
        trace=call.trace,
    )


def wait_s(call: Call) -> float:
    """Return the seconds of ``Prefer: wait=N`` (RFC 7240), at most ``WAIT_MAX_S``."""
    asked = call.headers.get("prefer")
    named = _WAIT.search(asked) if asked else None
    return min(float(named[1]), WAIT_MAX_S) if named else 0


def _deadline(call: Call, now: datetime) -> datetime | None:
    """Return what ``X-Deadline`` says: a moment, or seconds from now."""
    text = call.headers.get("x-deadline")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    try:
        return from_text(text) if math.isnan(seconds) else now + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        raise Invalid(
            f"X-Deadline: {text[:40]!r} is neither a moment nor a number of seconds",
            code="deadline_invalid",
            hint="90, or 2026-11-20T14:03:00Z",
        ) from None


async def _content(call: Call, house: House, version: Called, entry: str, job_id: str) -> Content:
    """Return the body of the call; what is more than a row holds goes into the bucket, never whole in here."""
    if call.body is None:
        coming = _coming(call, house.settings.body_max_bytes)
        first = await _up_to(coming, INLINE_MAX_BYTES)
    else:
        first = call.body
    content_type, query = call.headers.get("content-type", "application/json"), call.query
    files = version.inputs.files(entry) if query else ()
    if len(first) <= INLINE_MAX_BYTES:
        version.inputs.check(entry, first)
        made, content_type = with_query(first, content_type, query, files)
        if len(made) <= INLINE_MAX_BYTES:
            return Content(content_type, made)
        return await _stored(house, _key(call, version, job_id), made, content_type)
    key = _key(call, version, job_id)
    wrapped = around(content_type, query, files)
    if wrapped is None:  # fields of a query beside a long form: whether it has them too is only known at its end
        whole = b"".join([first, *[block async for block in coming]])
        made, content_type = await asyncio.to_thread(with_query, whole, content_type, query, files)
        return await _stored(house, key, made, content_type)
    head, tail, content_type = wrapped
    digest = hashlib.sha256()

    async def blocks() -> AsyncIterator[bytes]:
        for block in (head, first):
            digest.update(block)
            yield block
        async for block in coming:
            digest.update(block)
            yield block
        digest.update(tail)
        yield tail

    await house.bucket.put(key, blocks(), content_type=content_type)
    return Content(content_type, key=key, digest=digest.hexdigest())


async def _stored(house: House, key: str, body: bytes, content_type: str) -> Content:
    """Put a body that is here as a whole into the bucket."""
    await house.bucket.put(key, body, content_type=content_type)
    return Content(content_type, key=key, digest=hashlib.sha256(body).hexdigest())


async def _up_to(coming: AsyncIterator[bytes], most: int) -> bytes:
    """Return the beginning of a body: all of it, or more than ``most`` bytes."""
    parts, size = [], 0
    async for block in coming:
        parts.append(block)
        size += len(block)
        if size > most:
            break
    return b"".join(parts)


async def _coming(call: Call, most: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes, unpacked; raises :class:`Invalid`."""
    unpacker, size = Unpacker(call.headers.get("content-encoding", ""), most), 0
    async for block in call.blocks():
        size += len(block)
        if size > most:
            raise Invalid(f"the body has more than {most} bytes", code="body_too_large", hint="send less at once")
        for data in unpacker.take(block):
            yield data
    unpacker.end()


def _key(call: Call, version: Called, job_id: str) -> str:
    """Return where the input of a job lies in the bucket; its name is that of the file that was sent, if it has one."""
    named = _FILENAME.search(call.headers.get("content-disposition", ""))
    return input_key(version.record.model, job_id, named[1] if named and named[1] else "body")
