"""What to do about a run, seen from what is wanted and what its node reports: pure, a closed set of actions.

The same facts give the same action again until it is carried out, so a control plane that was killed between two
actions loses nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from fairlead.messages import HANDLERS_FAIL, RunReport
from fairlead.status import RunStatus

WINDOW_OVER = "the window closed"
"""Why a run stops at the end of its window; any other reason makes it canceled."""
STOP_MAX_S = 120
"""A stopping run of which its node says nothing for so long is given up."""
SILENT_S = 15
"""A node that is silent for so long has lost its runs' claims on devices."""


class LiveRun(msgspec.Struct, frozen=True):
    """A run that has not ended, as the records have it."""

    id: str
    status: RunStatus
    starts: datetime
    ends: datetime | None
    stop: str = ""
    reason: str = ""
    attempt: int = 0
    restarts: int = 0
    page: bool = False
    holding: bool = False
    """It has claims on devices."""
    stopping_since: datetime | None = None
    was_ready: bool = True
    """It was ready once."""


class Seen(msgspec.Struct, frozen=True):
    """What its node says of it."""

    report: RunReport | None = None
    since_stop: bool = False
    """The node has taken the wanted state that said stop, and reported since."""
    silent_s: float = 0
    """Since the node reported at all, counted from control's own start at most."""


class StartRun(msgspec.Struct, frozen=True):
    """Bind its devices and have it started; while that cannot be done it stays planned, with the reason."""

    run: str


class MarkReady(msgspec.Struct, frozen=True):
    run: str
    reason: str
    page: bool
    restarts: int


class MarkTrouble(msgspec.Struct, frozen=True):
    """It is ready, but its handlers fail; or they do no longer."""

    run: str
    reason: str
    fails: bool


class MarkStarting(msgspec.Struct, frozen=True):
    """It went down and is being started again."""

    run: str
    reason: str
    restarts: int
    last_lines: tuple[str, ...] = ()


class StopRun(msgspec.Struct, frozen=True):
    """Have it stopped, take its claims away and put its devices in their safe state."""

    run: str
    reason: str


class FinishRun(msgspec.Struct, frozen=True):
    """It ended: succeeded, failed or canceled. Claims go as with :class:`StopRun`."""

    run: str
    status: RunStatus
    reason: str
    restarts: int = 0
    last_lines: tuple[str, ...] = ()


class SkipRun(msgspec.Struct, frozen=True):
    """It never started, and its window is over."""

    run: str
    reason: str


class ReleaseHolds(msgspec.Struct, frozen=True):
    """Its node was lost: nobody holds its devices any more."""

    run: str
    reason: str


Action = StartRun | MarkReady | MarkTrouble | MarkStarting | StopRun | FinishRun | SkipRun | ReleaseHolds


def plan(run: LiveRun, seen: Seen, now: datetime) -> Action | None:
    """Return the next thing to do about ``run``, or None."""
    report = seen.report if seen.report and seen.report.attempt >= run.attempt else None
    match run.status:
        case RunStatus.PLANNED:
            return _planned(run, now)
        case RunStatus.STARTING | RunStatus.READY:
            return _live(run, report, seen, now)
        case RunStatus.STOPPING:
            return _stopping(run, report, seen, now)
        case _:
            return None


def _planned(run: LiveRun, now: datetime) -> Action | None:
    if run.stop:
        return FinishRun(run.id, RunStatus.CANCELED, run.stop)
    if run.ends is not None and run.ends <= now:
        return SkipRun(run.id, run.reason or "the window closed before it could start")
    return StartRun(run.id) if run.starts <= now else None


def _live(run: LiveRun, report: RunReport | None, seen: Seen, now: datetime) -> Action | None:
    if report and report.status in _ENDED:
        status = RunStatus.FAILED if report.status is RunStatus.FAILED else RunStatus.SUCCEEDED
        reason = report.reason or "it ended by itself"
        return FinishRun(run.id, status, reason, report.restarts, report.last_lines)
    if run.ends is not None and run.ends <= now:
        return StopRun(run.id, WINDOW_OVER)
    if run.stop:
        return StopRun(run.id, run.stop)
    if report is None:
        lost = run.holding and seen.silent_s >= SILENT_S
        return ReleaseHolds(run.id, f"its machine has been silent for {seen.silent_s:.0f} s") if lost else None
    if report.status is RunStatus.READY and run.status is RunStatus.STARTING:
        return MarkReady(run.id, report.reason or "it is ready", report.page, report.restarts)
    if report.status is RunStatus.READY and run.status is RunStatus.READY:
        return _trouble(run, report.reason)
    if report.status is RunStatus.STARTING and (run.status is RunStatus.READY or report.restarts > run.restarts):
        return MarkStarting(run.id, report.reason or "it is started again", report.restarts, report.last_lines)
    return None


def _trouble(run: LiveRun, said: str) -> MarkTrouble | None:
    """Return the step from what the records say of a ready run to what its node says."""
    was, fails = run.reason.startswith(HANDLERS_FAIL), said.startswith(HANDLERS_FAIL)
    if fails and said != run.reason:
        return MarkTrouble(run.id, said, fails=True)
    return MarkTrouble(run.id, "it is ready", fails=False) if was and not fails else None


def _stopping(run: LiveRun, report: RunReport | None, seen: Seen, now: datetime) -> Action | None:
    status = RunStatus.SUCCEEDED if run.stop == WINDOW_OVER else RunStatus.CANCELED
    if report and report.status in _ENDED:
        reason = run.stop
        if run.stop == WINDOW_OVER and report.status is RunStatus.FAILED and report.reason.startswith(WINDOW_OVER):
            status, reason = RunStatus.FAILED, report.reason  # it was not well when the window closed
        return FinishRun(run.id, status, reason, report.restarts, report.last_lines)
    said = run.stop
    if run.stop == WINDOW_OVER and not run.was_ready:
        status, said = RunStatus.FAILED, f"{WINDOW_OVER} before it was ready"
    if report is None and seen.since_stop:
        return FinishRun(run.id, status, f"{said}; it was not running any more")
    since = run.stopping_since or run.starts
    if report is None and now - since >= timedelta(seconds=STOP_MAX_S):
        return FinishRun(run.id, status, f"{said}; its machine does not answer")
    return None


_ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.SKIPPED)
