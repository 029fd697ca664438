"""Decides how much of what processes of bundles say is taken: texts are cut, figures that cannot be are left out. Pure.

A bundle says what it likes. What it says travels in reports that everybody's work depends on, so it is bounded where it
enters the platform.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from fairlead import clock
from fairlead.errors import Problem
from fairlead.figures import Figures
from fairlead.messages import (
    PARTIAL_BYTES,
    PIECE_BYTES,
    Beat,
    ErrorInfo,
    Evidence,
    FromReplica,
    JobDone,
    JobPartial,
    JobProgress,
)
from fairlead.status import ReplicaStatus

TEXT = 2_000
"""Characters of a reason, a message or a hint."""
WORD = 200
"""Characters of a code, a path or a name."""
LINE = 500
"""Characters of one of the last lines."""
LINES = 40
PROBLEMS = 100
SIGNATURE_BYTES = 256 * 1024
"""Longest description of what a bundle takes and gives, as JSON."""
DEPTH = 64
COUNT = 2**40
"""Largest count that is believed: sums of them stay whole numbers of 64 bits."""
BUCKETS = 64
EXAMPLES = 20
"""Of a version, that it is told how they went."""
OCTETS = "application/octet-stream"
_CUT = "… cut"
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;[\x20-\x7e]*)?", re.ASCII)
_MEDIA_TYPE_MAX = 255


def text(value: str, limit: int = TEXT) -> str:
    """Return ``value``, at most ``limit`` characters of it: then it ends with "… cut"."""
    value = value.replace("\0", "\ufffd")  # PostgreSQL keeps none: the end of a job would never be noted
    return value if len(value) <= limit else value[: limit - len(_CUT)] + _CUT


def media_type(value: str) -> str:
    """Return ``value`` if it is a media type that a header may hold, else that of any bytes."""
    return value if len(value) <= _MEDIA_TYPE_MAX and _MEDIA_TYPE.fullmatch(value) else OCTETS


def lines(values: Sequence[str], limit: int = LINES) -> tuple[str, ...]:
    """Return the last ``limit`` lines, each cut."""
    return tuple(text(value, LINE) for value in values[-limit:])


def error(info: ErrorInfo) -> ErrorInfo:
    """Return ``info`` with each of its texts cut and its first problems."""
    return ErrorInfo(
        code=text(info.code, WORD),
        message=text(info.message),
        hint=text(info.hint),
        kind=text(info.kind, WORD),
        problems=tuple(_problem(one) for one in info.problems[:PROBLEMS]),
        retry=info.retry,
    )


def of_replica(message: FromReplica) -> FromReplica:
    """Return what a replica says as it is taken: within bounds, and nothing that only its keeper can know."""
    match message:
        case Beat():
            return _beat(message)
        case JobDone():
            info = error(message.error) if message.error else None
            return msgspec.structs.replace(message, content_type=media_type(message.content_type), error=info)
        case JobProgress():
            total = None if message.total is None else count(message.total)
            return msgspec.structs.replace(
                message, note=text(message.note, LINE), step=count(message.step), total=total
            )
        case JobPartial():
            size = sum(len(piece) + PIECE_BYTES for piece in message.pieces)
            kept = message.pieces if size <= PARTIAL_BYTES else ()
            return msgspec.structs.replace(message, first=count(message.first), pieces=kept)
        case _:
            return message


def signature_problem(signature: Any) -> str:
    """Return why ``signature`` is not taken, or nothing."""
    return json_problem(signature, SIGNATURE_BYTES)


def json_problem(value: Any, limit_bytes: int) -> str:
    """Return why ``value`` cannot travel as JSON of at most ``limit_bytes``, or nothing."""
    try:
        size = len(msgspec.json.encode(value))
        msgspec.msgpack.encode(value)
    except (RecursionError, OverflowError, ValueError, TypeError, msgspec.MsgspecError) as wrong:
        return f"holds what cannot be sent: {text(str(wrong), WORD)}"
    if size > limit_bytes:
        return f"has {size / 1e3:,.0f} kB, more than {limit_bytes // 1024} kB"
    if _depth(value, DEPTH + 1) > DEPTH:
        return f"is nested more than {DEPTH} levels deep"
    return ""


def count(value: int) -> int:
    """Return ``value``, brought between 0 and ``COUNT``."""
    return min(max(value, 0), COUNT)


def _beat(beat: Beat) -> Beat:
    status = beat.status
    if status in (ReplicaStatus.GONE, ReplicaStatus.CRASH_LOOP):
        status = ReplicaStatus.CRASHED  # that a process is gone only the kernel tells
    return msgspec.structs.replace(
        beat,
        status=status,
        reason=text(beat.reason),
        in_flight=count(beat.in_flight),
        queued=count(beat.queued),
        served=count(beat.served),
        failed=count(beat.failed),
        error=error(beat.error) if beat.error else None,
        last_lines=lines(beat.last_lines),
        figures=beat.figures if beat.figures and _plausible(beat.figures) else None,
        evidence=_evidence(beat.evidence) if beat.evidence else None,
    )


def _evidence(evidence: Evidence) -> Evidence | None:
    """Return how examples went, as far as it is kept; nothing where its moment is none."""
    try:
        at = clock.to_text(clock.from_text(evidence.at))
    except ValueError:
        return None
    tried = [
        msgspec.structs.replace(
            one,
            title=text(one.title, WORD),
            said=text(one.said, LINE),
            took_ms=min(max(one.took_ms, 0.0), float(COUNT)) if math.isfinite(one.took_ms) else 0.0,
        )
        for one in evidence.examples[:EXAMPLES]
    ]
    return Evidence(at, text(evidence.replica, WORD), tuple(tried))


def _plausible(figures: Figures) -> bool:
    histograms = (figures.duration, figures.queue, figures.compute, figures.batches)
    counts = [figures.served, figures.broken, *figures.refused[: BUCKETS + 1]]
    sums = [figures.input_s, figures.broken_s, *(one.total for one in histograms)]
    for histogram in histograms:
        counts += histogram.counts[: BUCKETS + 1]
    short = all(len(one) <= BUCKETS for one in (figures.refused, *(each.counts for each in histograms)))
    return short and all(0 <= one <= COUNT for one in counts) and all(0 <= one <= COUNT for one in sums)


def _problem(problem: Problem) -> Problem:
    return msgspec.structs.replace(
        problem,
        path=text(problem.path, WORD),
        rule=text(problem.rule, WORD),
        message=text(problem.message, LINE),
        hint=text(problem.hint, LINE),
        line=None if problem.line is None else count(problem.line),
    )


def _depth(value: Any, limit: int) -> int:
    """Return how deep ``value`` is nested, at most ``limit``."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return 1 + max((_depth(one, limit - 1) for one in inner), default=0) if limit > 0 else 0
