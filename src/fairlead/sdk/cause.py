"""Why a command is sent: the reading in hand and each prediction made since, kept for the handler that runs."""

from __future__ import annotations

import json
from contextvars import ContextVar

from fairlead.sdk.wire import Measure

_CAUSES_MAX = 20
_SAID_MAX = 120
_causes: ContextVar[list[str] | None] = ContextVar("fairlead_causes", default=None)


def begin(measure: Measure | None) -> None:
    """Start a new chain in this context, with ``measure`` in hand."""
    _causes.set([] if measure is None else [said(measure)])


def add(cause: str) -> None:
    """Put ``cause`` at the end of the chain; the oldest predictions give way, the reading stays."""
    causes = _causes.get()
    if causes is None:
        causes = []
        _causes.set(causes)
    causes.append(cause)
    if len(causes) > _CAUSES_MAX:
        del causes[1]


def current() -> tuple[str, ...]:
    """Return the chain so far."""
    return tuple(_causes.get() or ())


def said(measure: Measure) -> str:
    """Return for example ``reading t1.temperature 27.4 at 14:03:06Z``."""
    value = f"({measure.content_type}, {len(measure.media)} bytes)" if measure.content_type else short(measure.value)
    clock = measure.at.partition("T")[2] or measure.at
    head, dot, tail = clock.partition(".")
    return f"reading {measure.device}.{measure.property} {value} at {head}{'Z' if dot and tail.endswith('Z') else ''}"


def short(value: object) -> str:
    """Return ``value`` in one short line: JSON, as everybody sees it who does not write Python."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # it holds itself
        text = str(value)
    return text if len(text) <= _SAID_MAX else f"{text[: _SAID_MAX - 1]}…"
