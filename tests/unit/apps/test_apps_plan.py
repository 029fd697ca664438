"""The plan of a run, by histories: facts in, action out."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from fairlead.apps import plan
from fairlead.apps.plan import (
    WINDOW_OVER,
    FinishRun,
    LiveRun,
    MarkReady,
    MarkStarting,
    MarkTrouble,
    ReleaseHolds,
    Seen,
    SkipRun,
    StartRun,
    StopRun,
)
from fairlead.messages import HANDLERS_FAIL, RunReport
from fairlead.status import RunStatus, can_move

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ONE = NOON + timedelta(hours=1)
S = RunStatus


def run(status: RunStatus, **more: object) -> LiveRun:
    return LiveRun(**{"id": "run-1", "status": status, "starts": NOON, "ends": ONE, **more})  # type: ignore[arg-type]


def says(status: RunStatus, **more: object) -> Seen:
    return Seen(RunReport(**{"run": "run-1", "status": status, **more}))  # type: ignore[arg-type]


SILENT = Seen()
BAD = f"{HANDLERS_FAIL}: cool: KeyError: 'x'; fairlead logs run-1"
UNREADY = f"{WINDOW_OVER} before it was ready: not ready after 60 s"
BEFORE, DURING, AFTER = NOON - timedelta(seconds=1), NOON + timedelta(minutes=5), ONE

HISTORY = [
    ("not yet", run(S.PLANNED), SILENT, BEFORE, None),
    ("its time", run(S.PLANNED), SILENT, NOON, StartRun("run-1")),
    ("could not start in time", run(S.PLANNED, reason="waits: x"), SILENT, AFTER, SkipRun("run-1", "waits: x")),
    ("canceled before", run(S.PLANNED, stop="by ada"), SILENT, BEFORE, FinishRun("run-1", S.CANCELED, "by ada")),
    ("no report yet", run(S.STARTING), SILENT, DURING, None),
    ("up", run(S.STARTING), says(S.READY, page=True), DURING, MarkReady("run-1", "it is ready", True, 0)),
    ("stays up", run(S.READY), says(S.READY), DURING, None),
    ("handlers fail", run(S.READY, reason="it is ready"), says(S.READY, reason=BAD), DURING, MarkTrouble("run-1", BAD, True)),
    ("handlers fail on", run(S.READY, reason=BAD), says(S.READY, reason=BAD), DURING, None),
    ("handlers work again", run(S.READY, reason=BAD), says(S.READY), DURING, MarkTrouble("run-1", "it is ready", False)),
    ("went down", run(S.READY), says(S.STARTING, restarts=1, reason="exit 1"), DURING, MarkStarting("run-1", "exit 1", 1)),
    ("went down again", run(S.STARTING, restarts=1), says(S.STARTING, restarts=2, reason="exit 1"), DURING, MarkStarting("run-1", "exit 1", 2)),
    ("old news of before a restart", run(S.STARTING, attempt=1), says(S.READY), DURING, None),
    ("gave up", run(S.STARTING), says(S.FAILED, reason="exit 78"), DURING, FinishRun("run-1", S.FAILED, "exit 78")),
    ("ended by itself", run(S.READY), says(S.SUCCEEDED), DURING, FinishRun("run-1", S.SUCCEEDED, "it ended by itself")),
    ("window closed", run(S.READY), says(S.READY), AFTER, StopRun("run-1", WINDOW_OVER)),
    ("window closed while nobody looked", run(S.STARTING), SILENT, AFTER + timedelta(days=3), StopRun("run-1", WINDOW_OVER)),
    ("stopped by a person", run(S.READY, stop="by ada"), says(S.READY), DURING, StopRun("run-1", "by ada")),
    ("still stopping", run(S.STOPPING, stop=WINDOW_OVER, stopping_since=ONE), says(S.STOPPING), AFTER, None),
    ("stopped", run(S.STOPPING, stop=WINDOW_OVER, stopping_since=ONE), says(S.SUCCEEDED), AFTER, FinishRun("run-1", S.SUCCEEDED, WINDOW_OVER)),
    ("killed at the end", run(S.STOPPING, stop=WINDOW_OVER), says(S.FAILED), AFTER, FinishRun("run-1", S.SUCCEEDED, WINDOW_OVER)),
    ("stopped by a person, done", run(S.STOPPING, stop="by ada"), says(S.SUCCEEDED), DURING, FinishRun("run-1", S.CANCELED, "by ada")),
    ("was not ready at the end", run(S.STOPPING, stop=WINDOW_OVER), says(S.FAILED, reason=UNREADY), AFTER, FinishRun("run-1", S.FAILED, UNREADY)),
    ("never ready, and nobody knows", run(S.STOPPING, stop=WINDOW_OVER, was_ready=False), Seen(since_stop=True), AFTER, FinishRun("run-1", S.FAILED, f"{WINDOW_OVER} before it was ready; it was not running any more")),
    ("never ready, and stopped by a person", run(S.STOPPING, stop="by ada", was_ready=False), Seen(since_stop=True), AFTER, FinishRun("run-1", S.CANCELED, "by ada; it was not running any more")),
    ("node knows nothing of it", run(S.STOPPING, stop=WINDOW_OVER, stopping_since=ONE), Seen(since_stop=True), AFTER, FinishRun("run-1", S.SUCCEEDED, f"{WINDOW_OVER}; it was not running any more")),
    ("node is gone", run(S.STOPPING, stop=WINDOW_OVER, stopping_since=ONE), SILENT, ONE + timedelta(seconds=119), None),
    ("node is gone for long", run(S.STOPPING, stop=WINDOW_OVER, stopping_since=ONE), SILENT, ONE + timedelta(seconds=120), FinishRun("run-1", S.SUCCEEDED, f"{WINDOW_OVER}; its machine does not answer")),
    ("lost heartbeat", run(S.READY, holding=True), Seen(silent_s=15), DURING, ReleaseHolds("run-1", "its machine has been silent for 15 s")),
    ("lost heartbeat, nothing held", run(S.READY), Seen(silent_s=99), DURING, None),
    ("no end", run(S.READY, ends=None), says(S.READY), AFTER + timedelta(days=99), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "seen", "now", "action"), [row[1:] for row in HISTORY], ids=[row[0] for row in HISTORY]
)
def test_history(facts: LiveRun, seen: Seen, now: datetime, action: plan.Action | None) -> None:
    assert plan.plan(facts, seen, now) == action


def test_every_action_is_a_legal_move() -> None:
    for status, report, stop, now in product(S, [None, *S], ["", WINDOW_OVER], [BEFORE, DURING, AFTER]):
        seen = says(report) if report else SILENT
        after = {
            StopRun: S.STOPPING,
            MarkReady: S.READY,
            SkipRun: S.SKIPPED,
            StartRun: S.STARTING,
        }
        action = plan.plan(run(status, stop=stop), seen, now)
        match action:
            case FinishRun(status=to):
                assert can_move(status, to)
            case StopRun() | MarkReady() | SkipRun() | StartRun():
                assert can_move(status, after[type(action)])
