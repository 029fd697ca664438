"""Sends a span of each job that ended to who takes traces: OTLP over HTTP as JSON.

https://opentelemetry.io/docs/specs/otlp/#otlphttp. A span's parent is the request that submitted the job. Nothing waits
for it: what cannot be sent is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx

from fairlead import ids
from fairlead.status import JobStatus
from fairlead.store.records import Job

_log = logging.getLogger(__name__)
HELD_MAX = 2_000
AT_ONCE = 200
TIMEOUT_S = 5.0
_CONSUMER, _OK, _ERROR = 5, 1, 2  # opentelemetry.proto.trace.v1: SpanKind, Status.StatusCode
_SAMPLED = 1


class Spans:
    """Holds spans until they are sent to ``url``, the newest ``HELD_MAX``."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/v1/traces"
        self._held: deque[dict[str, Any]] = deque(maxlen=HELD_MAX)
        self._news = asyncio.Event()
        self.is_idle = True
        """Whether nothing is held or on its way."""

    def __len__(self) -> int:
        return len(self._held)

    def job_ended(self, job: Job) -> None:
        """Note a job; one whose request was not sampled has no span."""
        if made := span_of(job):
            self._held.append(made)
            self.is_idle = False
            self._news.set()

    async def run(self) -> None:
        """Send until canceled."""
        silent = False
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._held:
                    group = [self._held.popleft() for _ in range(min(AT_ONCE, len(self._held)))]
                    why = await _sent(client, self._url, group)
                    if why and not silent:
                        _log.warning("spans of jobs are not taken: %s", why)
                    silent = bool(why)
                self.is_idle = True


async def _sent(client: httpx.AsyncClient, url: str, spans: Sequence[dict[str, Any]]) -> str:
    """Send spans; return why they were not taken, nothing where they were."""
    scope = {"scope": {"name": "fairlead.control"}, "spans": spans}
    body = {"resourceSpans": [{"resource": {"attributes": [_text("service.name", "fairlead")]}, "scopeSpans": [scope]}]}
    try:
        (await client.post(url, json=body)).raise_for_status()
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return ""


def span_of(job: Job) -> dict[str, Any] | None:
    """Return the span of a job that ended; none where its trace is not sampled."""
    _, trace, parent, flags = job.trace.split("-") if ids.is_trace(job.trace) else ("", secrets.token_hex(16), "", "01")
    if not int(flags, 16) & _SAMPLED or job.finished_at is None:
        return None
    failed = job.status is JobStatus.FAILED
    status = {"code": _ERROR, "message": job.error.code if job.error else ""} if failed else {"code": _OK}
    said = {
        "fairlead.job": job.id,
        "fairlead.model": f"{job.model}@{job.version}",
        "fairlead.request": job.request,
        "fairlead.status": job.status.value,
    }
    return {
        "traceId": trace,
        "spanId": secrets.token_hex(8),
        "parentSpanId": parent,
        "name": f"job {job.model}",
        "kind": _CONSUMER,
        "startTimeUnixNano": _nanoseconds(job.created_at),
        "endTimeUnixNano": _nanoseconds(job.finished_at),
        "attributes": [
            *(_text(key, value) for key, value in said.items()),
            {"key": "fairlead.attempts", "value": {"intValue": str(job.attempts)}},
        ],
        "status": status,
    }


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def _nanoseconds(moment: datetime) -> str:
    return str(round(moment.timestamp() * 1_000_000) * 1000)
