"""Decides about the processes of a run: what an end means, and whether the run is ready. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.messages import HANDLERS_FAIL
from fairlead.sandbox import rules

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
_BOUNDS = {
    "Resource temporarily unavailable": f"a run has at most {rules.Limits().processes} processes and threads",
    "Too many open files": f"a run has at most {rules.Limits().open_files} files open in each process",
    "File too large": "no file of a run is longer than scratch_mb of the settings",
    **dict.fromkeys(
        ("attempting to bind on address", "listen EACCES", "bind: permission denied"),
        "a page listens on its PORT at 127.0.0.1, and nowhere else",
    ),
}
"""What a program says that meets a bound of its sandbox."""


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
    when = "" if was_ready or ": " in reason else " at start"
    full = f"{reason}{when}{between + said if said else ''}{_bound(said)}"
    if code == EXIT_CONFIG:
        return Failed(full)
    if not was_ready and failed_starts >= FAILED_STARTS_MAX and code != EXIT_RETRY:
        return Failed(full)
    return Again(full)


def unwell(over: str, *, began: bool, was_ready: bool, down: str) -> str:
    """Return why a run whose window is ``over`` has failed, nothing where it went well.

    ``began``: it had processes; ``down``: why they are being started again, or were last.
    """
    if not began and not was_ready:
        return f"{over} before it could start"
    if not was_ready:
        return f"{over} before it was ready{f': {down}' if down else ''}"
    return f"{over} while it was started again: {down}" if down else ""


def late(limit_s: float, *, port: int = 0, page: str = "", fails: str = "") -> str:
    """Return why a run is ended that was not ready in time: nothing of it listens on ``port``, its ``page`` ``fails``,
    or it never said that it is ready."""
    head = f"not ready after {limit_s:g} s"
    if port:
        return f"{head}: none of its programs listens on its PORT, {port} at 127.0.0.1"
    if page and fails:
        return f"{head}: GET {page} {fails}, not 200"
    return f"{head}: it never said that it is; a function of @app.start takes longer, or the app hangs"


def _bound(said: str) -> str:
    """Return which bound of a run is likely behind what it ``said`` last."""
    found = (bound for words, bound in _BOUNDS.items() if words in said)
    return next((f" ({bound})" for bound in found), "")


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
