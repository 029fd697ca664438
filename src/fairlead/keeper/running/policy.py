"""Decides about the processes of a run: what an end means, and whether the run is ready. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.messages import HANDLERS_FAIL

EXIT_RETRY = 75
"""EX_TEMPFAIL of sysexits.h: start it again."""
EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h: do not start it again."""
FAILED_STARTS_MAX = 4
"""A run that ended so often before it was ready even once has failed."""
ALIVE_S = 1.0
"""A program without page or heartbeat is ready once it has lived so long."""
FROZEN_S = 30.0
"""Without a heartbeat, or an answer of its page, for so long a run that was ready is killed and started again."""
_SAID_MAX = 300


@dataclass(frozen=True, slots=True)
class Again:
    """Start the process again, after the back-off."""

    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """The process did what it had to do."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The run has failed."""

    reason: str


def after_exit(
    code: int | None, reason: str, last_lines: Sequence[str], *, was_ready: bool, failed_starts: int
) -> Again | Done | Failed:
    """Return what the end of a process means; ``failed_starts`` counts ends before the run was ready, this one too."""
    if code == 0:
        return Done()
    said = last_said(last_lines) if code is None or code > 0 else ""  # a signal came from outside
    between = "; last line: " if code is None else ": "
    full = f"{reason}{'' if was_ready else ' at start'}{between + said if said else ''}"
    if code == EXIT_CONFIG:
        return Failed(full)
    if not was_ready and failed_starts >= FAILED_STARTS_MAX and code != EXIT_RETRY:
        return Failed(full)
    return Again(full)


def last_said(lines: Sequence[str]) -> str:
    """Return the last line that says something, the message of a structured one."""
    for line in reversed(lines):
        text = line.strip()
        if not text:
            continue
        if text.startswith("{"):
            try:
                found = json.loads(text)
            except ValueError:
                found = None
            if isinstance(found, dict) and isinstance(found.get("said"), str):
                text = found["said"]
        return text[:_SAID_MAX]
    return ""


def trouble(said: str, run: str) -> str:
    """Return the reason of a run that is ready while its handlers fail with what it ``said``, of any length."""
    text = "".join(letter if letter.isprintable() else " " for letter in said[:_SAID_MAX])
    return f"{HANDLERS_FAIL}: {text}; fairlead logs {run}" if text.strip() else ""


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of life of a run; moments of the monotonic clock."""

    alive_since: float | None
    """Since when all its processes live; ``None``: one does not."""
    answered: float | None
    """When its page answered last, or its heartbeat came last."""


def is_ready(signs: Signs, now: float, *, has_probe: bool) -> bool:
    """Whether the run serves; ``has_probe``: it has a page or a heartbeat that tells."""
    if signs.alive_since is None:
        return False
    if has_probe:
        return signs.answered is not None and signs.answered >= signs.alive_since
    return now - signs.alive_since >= ALIVE_S


def is_frozen(signs: Signs, now: float, *, has_probe: bool) -> bool:
    """Whether a run that was ready says nothing any more; one that was started again has its own time to begin."""
    if not has_probe or signs.alive_since is None or signs.answered is None:
        return False
    return now - max(signs.answered, signs.alive_since) > FROZEN_S
