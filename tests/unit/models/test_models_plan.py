"""What follows from what keepers report: tables of what is seen and what is done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fairlead.messages import ErrorInfo, NodeReport, Prepared, Target, VersionReport
from fairlead.models.plan import (
    Held,
    LeaveAlias,
    MarkFailed,
    MarkReady,
    MarkSleeping,
    MarkStarting,
    Progress,
    Retire,
    Revive,
    TakeAlias,
    Version,
    decide,
)
from fairlead.status import VersionStatus as V

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
KEY = ("m", "1")
ERROR = ErrorInfo("import_failed", "No module named 'PIL'", "add pillow to requires")
PRODUCTION = {("m", "production"): Held((Target("1"),))}


def version(status: V, **more: object) -> Version:
    return Version(model="m", version="1", digest="d", status=status, **more)  # type: ignore[arg-type]


def report(*parts: Prepared | VersionReport) -> NodeReport:
    return NodeReport(
        node="local",
        generation=1,
        at="2026-11-20T14:03:00Z",
        prepared=tuple(part for part in parts if isinstance(part, Prepared)),
        versions=tuple(part for part in parts if isinstance(part, VersionReport)),
    )


def prepared(step: str, said: str = "", **more: object) -> Prepared:
    return Prepared("model", "m", "1", "d", step, said, **more)  # type: ignore[arg-type]


def seen(status: V, reason: str = "", **more: object) -> VersionReport:
    return VersionReport("m", "1", status, reason, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("was", "reports", "aliases", "expected"),
    [
        pytest.param(version(V.BUILDING), [], {}, [], id="nothing is known"),
        pytest.param(
            version(V.BUILDING),
            [report(prepared("environment", "building"))],
            {},
            [Progress(KEY, "environment", "building")],
            id="it moves on",
        ),
        pytest.param(
            version(V.BUILDING, step="environment", reason="building"),
            [report(prepared("environment", "building"))],
            {},
            [],
            id="nothing new",
        ),
        pytest.param(
            version(V.BUILDING),
            [report(prepared("done", signature={"x": 1}, preload=("numpy",), warnings=("old",)))],
            {},
            [MarkStarting(KEY, {"x": 1}, ("numpy",), ("old",))],
            id="prepared",
        ),
        pytest.param(
            version(V.BUILDING),
            [report(prepared("failed", error=ERROR, last_lines=("boom",)))],
            {},
            [MarkFailed(KEY, ERROR, ("boom",))],
            id="cannot be prepared",
        ),
        pytest.param(
            version(V.BUILDING, attempt=1),
            [report(prepared("failed", error=ERROR))],
            {},
            [],
            id="a failure of the attempt before",
        ),
        pytest.param(
            version(V.BUILDING),
            [report(Prepared("model", "m", "1", "other", "done"))],
            {},
            [],
            id="word of other content",
        ),
        pytest.param(
            version(V.BUILDING),
            [report(Prepared("app", "m", "1", "d", "done"))],
            {},
            [],
            id="word of an app of that name",
        ),
        pytest.param(version(V.STARTING), [report(prepared("done"), seen(V.STARTING))], {}, [], id="loading"),
        pytest.param(
            version(V.STARTING),
            [report(prepared("done"), seen(V.READY))],
            {},
            [MarkReady(KEY, "a replica is ready")],
            id="ready",
        ),
        pytest.param(
            version(V.STARTING),
            [report(seen(V.FAILED, "exit 1", error=ERROR, last_lines=("boom",)))],
            PRODUCTION,
            [MarkFailed(KEY, ERROR, ("boom",))],
            id="does not start",
        ),
        pytest.param(
            version(V.STARTING),
            [report(seen(V.READY)), report(seen(V.FAILED, error=ERROR))],
            {},
            [MarkReady(KEY, "a replica is ready")],
            id="starts on one node of two",
        ),
        pytest.param(
            version(V.READY, takes="production", takes_at=NOW), [], {}, [TakeAlias(KEY, "production")], id="first push"
        ),
        pytest.param(
            version(V.READY, takes="production", takes_at=NOW),
            [],
            {("m", "production"): Held((Target("2"),), NOW - timedelta(seconds=1))},
            [TakeAlias(KEY, "production")],
            id="asked later than the one that holds",
        ),
        pytest.param(
            version(V.READY, takes="production", takes_at=NOW),
            [],
            {("m", "production"): Held((Target("2"),), NOW + timedelta(seconds=1))},
            [LeaveAlias(KEY, "production")],
            id="overtaken by a later push",
        ),
        pytest.param(version(V.READY), [], {}, [Retire(KEY, "no alias names it")], id="named by none"),
        pytest.param(version(V.READY), [], PRODUCTION, [], id="silence changes nothing"),
        pytest.param(
            version(V.READY),
            [report(seen(V.SLEEPING, "idle"))],
            PRODUCTION,
            [MarkSleeping(KEY, "idle")],
            id="falls asleep",
        ),
        pytest.param(
            version(V.READY),
            [report(seen(V.SLEEPING)), report(seen(V.READY))],
            PRODUCTION,
            [],
            id="asleep on one node of two",
        ),
        pytest.param(version(V.SLEEPING), [report(seen(V.READY))], PRODUCTION, [MarkReady(KEY, "woken")], id="wakes"),
        pytest.param(
            version(V.READY, proven=True),
            [report(seen(V.STARTING, "crashed 6 times"))],
            PRODUCTION,
            [],
            id="a crash does not fail what worked",
        ),
        pytest.param(version(V.RETIRED), [], {}, [], id="stays retired"),
        pytest.param(version(V.RETIRED), [], PRODUCTION, [Revive(KEY, "an alias names it again")], id="rolled back to"),
        pytest.param(version(V.RETIRED, takes="staging"), [], {}, [Revive(KEY, "pushed again")], id="pushed once more"),
        pytest.param(version(V.FAILED), [report(seen(V.READY))], {}, [], id="failed is failed"),
    ],
)
def test_what_follows(was: Version, reports: list[NodeReport], aliases: dict, expected: list) -> None:  # type: ignore[type-arg]
    assert decide([was], aliases, reports) == expected


def test_a_version_that_jobs_wait_for_is_not_retired() -> None:
    assert decide([version(V.READY)], {}, [], busy={KEY}) == []
    assert decide([version(V.READY)], {}, [report(seen(V.SLEEPING, "idle"))], busy={KEY}) == [MarkSleeping(KEY, "idle")]
    assert decide([version(V.RETIRED)], {}, [], busy={KEY}) == []
