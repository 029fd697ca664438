"""How many jobs of a model may wait, and be worked on: what ``[jobs]`` of its manifest says.

Jobs that wait are counted at most once a second, up to the limit, and what comes since is added up: a model is not
counted for each of a thousand jobs a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from fairlead.bundles import shapes
from fairlead.errors import Busy
from fairlead.jobs.waiting import Key, waiting
from fairlead.models.queries import manifest_of
from fairlead.status import JobStatus
from fairlead.store.records import Job, ModelVersion

EVERY_S = 1.0
KEPT = 10_000
"""Versions and lines that are remembered."""
RETRY_S = (1.0, 600.0)
"""Who is refused is told to come back after so long at least, and at most."""
UNKNOWN_S = 5.0
"""As long where nobody has seen jobs leave: by then that is known."""
SHARE = 0.01
"""That share of a full line is to be free by then."""


@dataclass(slots=True)
class _Line:
    """Jobs that wait: counted ``at``, those ``added`` since, and how many left each second before."""

    at: datetime
    count: int
    added: int = 0
    left_per_s: float = 0.0

    @property
    def length(self) -> int:
        return self.count + self.added


class Limits:
    """One for each process that submits or orders. Used by one thread at a time, or where a lost figure is harmless."""

    def __init__(self) -> None:
        self._manifests: dict[Key, shapes.Jobs] = {}
        self._lines: dict[tuple[str, str], _Line] = {}

    def of(self, session: Session, key: Key) -> shapes.Jobs:
        """Return what the manifest of a version says; a version never changes."""
        found = self._manifests.get(key)
        if found is None:
            version = session.get(ModelVersion, key)
            found = manifest_of(version).jobs if version is not None else shapes.Jobs()
            if len(self._manifests) >= KEPT:
                self._manifests.clear()
            if version is not None:
                self._manifests[key] = found
        return found

    def take(self, session: Session, key: Key, user: str, now: datetime) -> None:
        """Count one more job of ``user``; raises :class:`Busy` (``jobs_full``) where too many wait."""
        said, model = self.of(session, key), key[0]
        lines = [(self._line(session, (model, ""), said.queue_max, now), said.queue_max)]
        if said.person_max is not None:
            lines.append((self._line(session, (model, user), said.person_max, now), said.person_max))
        for (line, most), whose in zip(lines, ("", f" of {user}"), strict=False):
            if line.length >= most:
                raise _full(line, f"{most} jobs{whose} wait for {model} already")
        for line, _ in lines:
            line.added += 1

    def _line(self, session: Session, key: tuple[str, str], most: int, now: datetime) -> _Line:
        """Return the line of a model and a person; of all people for the empty name."""
        known = self._lines.get(key)
        passed_s = (now - known.at).total_seconds() if known is not None else math.inf
        if known is not None and 0 <= passed_s < EVERY_S:
            return known
        of = (Job.model == key[0], *((Job.created_by == key[1],) if key[1] else ()))
        line = _Line(now, _count(session, of, most))
        if known is not None and 0 < passed_s < 60 * EVERY_S:
            left_per_s = max(0.0, known.length - line.count) / passed_s
            # A line that ran empty says how fast jobs leave at least: nobody waited for some of that time.
            line.left_per_s = left_per_s if line.count else max(left_per_s, known.left_per_s)
        if len(self._lines) >= KEPT:
            self._lines.clear()
        self._lines[key] = line
        return line


def _count(session: Session, of: tuple[ColumnElement[bool], ...], most: int) -> int:
    """Return how many of these jobs nobody has begun: up to ``most`` that wait here, and as many with a node."""
    counts = [
        select(func.count()).select_from(select(Job.id).where(*where, *of).limit(most).subquery()).scalar_subquery()
        for where in (waiting(), (Job.lease_until.is_not(None), Job.status == JobStatus.QUEUED))
    ]
    return session.scalar(select(counts[0] + counts[1])) or 0


def _full(line: _Line, said: str) -> Busy:
    room = max(1.0, SHARE * line.length)
    wait_s = room / line.left_per_s if line.left_per_s else UNKNOWN_S
    wait_s = math.ceil(min(RETRY_S[1], max(RETRY_S[0], wait_s)))
    hint = f"try again in {wait_s} s, or raise queue_max or person_max in [jobs] of its fairlead.toml"
    return Busy(said, code="jobs_full", hint=hint, retry_after_s=wait_s)
