"""What becomes of the firings that have come due: pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fairlead.schedules.due import Firing

ON_TIME_S = 60
"""A firing seen within this time is on time; later, ``catch_up`` decides."""
KEPT_SKIPS = 20
"""Of a long row of missed firings so many get a record each; the older ones are counted in one."""


class OpenFiring(msgspec.Struct, frozen=True):
    """Open a run for it; ``stop`` names the run that must end first (overlap ``restart``)."""

    firing: Firing
    reason: str
    stop: str | None = None


class SkipFiring(msgspec.Struct, frozen=True):
    """It does not take place, for this reason."""

    firing: Firing
    reason: str


Verdict = OpenFiring | SkipFiring


def decide(
    due: Sequence[Firing], *, overlap: str, catch_up: str, live: tuple[str, datetime | None] | None, now: datetime
) -> tuple[Verdict, ...]:
    """Return one verdict for each firing of ``due`` (in order, all opened by ``now``).

    ``live`` is the schedule's run that goes on, and when it ends. At most one run is opened: the latest that may.
    """
    verdicts: list[Verdict] = []
    chosen = next((firing for firing in reversed(due) if not _refusal(firing, catch_up, now)), None)
    for firing in due:
        reason = _refusal(firing, catch_up, now)
        goes_on = live[0] if live and (live[1] is None or live[1] > firing.opens) else None
        if reason:
            verdicts.append(SkipFiring(firing, reason))
        elif firing is not chosen:
            verdicts.append(SkipFiring(firing, "a later window of the same schedule is open as well"))
        elif goes_on and overlap == "skip":
            verdicts.append(SkipFiring(firing, f"{goes_on} still runs (overlap = skip)"))
        else:
            late = (now - firing.opens).total_seconds()
            reason = "window opened" if late < ON_TIME_S else f"window opened {_long(late)} ago; caught up"
            verdicts.append(OpenFiring(firing, reason, goes_on))
    return tuple(verdicts)


def _refusal(firing: Firing, catch_up: str, now: datetime) -> str:
    if firing.skipped:
        return firing.skipped
    if firing.closes is not None and firing.closes <= now:
        return "missed: the platform was off during the whole window"
    if catch_up == "none" and (now - firing.opens).total_seconds() >= ON_TIME_S:
        return "missed: the platform was off when the window opened (catch_up = none)"
    return ""


def _long(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
