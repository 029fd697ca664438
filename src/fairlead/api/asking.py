"""What a request to keep a call asks for: its body, and what its headers say of the job."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request

from fairlead import ids
from fairlead.api.errors import request_id, trace_of
from fairlead.buckets.keys import input_key
from fairlead.clock import from_text
from fairlead.control.house import House
from fairlead.errors import Invalid
from fairlead.jobs import inputs, policy, service
from fairlead.jobs.forms import with_query
from fairlead.models import queries as models
from fairlead.modelserver.protocols.packing import unpacked
from fairlead.store.records import ModelVersion

WAIT_MAX_S = 300.0
_WAIT = re.compile(r"wait\s*=\s*(\d+(?:\.\d+)?)")
_FILENAME = re.compile(r'filename="([^"]*)"')


async def submission(request: Request, house: House, version: ModelVersion, entry: str) -> service.Submission:
    """Return what ``request`` asks of ``entry``; a large input is put into the bucket. Raises :class:`Invalid`."""
    deadline = _deadline(request, house.clock.now())
    body = await _body(request, house.settings.body_max_bytes)
    if packing := request.headers.get("content-encoding", ""):
        body = await asyncio.to_thread(unpacked, body, packing, house.settings.body_max_bytes)
    inputs.check(version.signature, entry, body)
    files = ((version.signature or {}).get("endpoints") or {}).get(entry, {}).get("files", ())
    content_type = request.headers.get("content-type", "application/json")
    body, content_type = with_query(body, content_type, request.url.query, files)
    job_id = ids.new("job")
    asked: dict[str, Any] = {"body": body}
    if len(body) > policy.INLINE_MAX_BYTES:
        key = input_key(version.model, job_id, _filename(request))
        await house.bucket.put(key, body, content_type=content_type)
        asked = {"input_key": key, "input_hash": hashlib.sha256(body).hexdigest()}
    return service.Submission(
        **asked,
        id=job_id,
        model=version.model,
        version=version.version,
        endpoint=entry,
        content_type=content_type,
        accept=request.headers.get("accept", "*/*"),
        idempotency_key=request.headers.get("idempotency-key"),
        priority=request.headers.get("x-priority", "normal"),
        deadline_at=deadline,
        callback_url=request.headers.get("x-callback-url"),
        timeout_s=models.manifest_of(version).run.timeout_s,
        request=request_id(request),
        trace=trace_of(request),
    )


def wait_s(request: Request) -> float:
    """Return the seconds of ``Prefer: wait=N`` (RFC 7240), at most ``WAIT_MAX_S``."""
    named = _WAIT.search(request.headers.get("prefer", ""))
    return min(float(named[1]), WAIT_MAX_S) if named else 0


def _deadline(request: Request, now: datetime) -> datetime | None:
    """Return what ``X-Deadline`` says: a moment, or seconds from now."""
    text = request.headers.get("x-deadline")
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


async def _body(request: Request, most: int) -> bytes:
    parts, size = [], 0
    async for block in request.stream():
        size += len(block)
        if size > most:
            raise Invalid(f"the body has more than {most} bytes", code="body_too_large", hint="send less at once")
        parts.append(block)
    return b"".join(parts)


def _filename(request: Request) -> str:
    named = _FILENAME.search(request.headers.get("content-disposition", ""))
    return named[1] if named and named[1] else "body"
