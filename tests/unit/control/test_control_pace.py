"""When the records are looked at as a whole."""

from __future__ import annotations

import msgspec

from fairlead.control.pace import ALWAYS_S, SHARE, SHARE_WRITTEN, Pace
from fairlead.figures import Figures
from fairlead.messages import NodeReport, Prepared, RunReport, VersionReport
from fairlead.status import RunStatus, VersionStatus

SLOW_S = 0.4
ASLEEP = VersionReport(model="m", version="1", status=VersionStatus.SLEEPING)
REPORT = NodeReport(node="local", generation=3, at="2026-11-21T21:00:00Z", versions=(ASLEEP,), load=0.5)


def looked(took: float) -> Pace:
    """Return one that has looked from 0 to ``took`` at what was written once."""
    pace = Pace()
    assert pace.is_due(0, 1)
    pace.begin(1)
    pace.end(took, took)
    return pace


def test_where_a_look_is_cheap_there_is_one_each_second() -> None:
    pace = looked(0.001)
    assert not pace.is_due(0.5, 1)
    assert pace.is_due(0.01 + ALWAYS_S, 1)


def test_slow_looks_take_a_small_part_of_the_time() -> None:
    pace = looked(SLOW_S)
    assert not pace.is_due(SLOW_S / SHARE, 1)
    assert pace.is_due(SLOW_S + SLOW_S / SHARE, 1)


def test_what_is_written_by_anybody_is_seen_sooner() -> None:
    pace = looked(SLOW_S)
    assert not pace.is_due(2 * SLOW_S, 2)
    assert pace.is_due(SLOW_S + SLOW_S / SHARE_WRITTEN, 2)


def test_what_is_asked_for_is_looked_at_at_once_also_while_a_look_goes_on() -> None:
    pace = looked(SLOW_S)
    pace.ask()
    assert pace.is_due(SLOW_S, 1)
    pace.begin(1)
    assert not pace.is_due(SLOW_S, 1)
    pace.ask()
    pace.end(2 * SLOW_S, SLOW_S)
    assert pace.is_due(2 * SLOW_S, 1)


def test_figures_are_no_news_and_a_status_is() -> None:
    pace = Pace()
    assert pace.is_news(REPORT)
    called = msgspec.structs.replace(
        ASLEEP, figures=Figures(served=1), last_called="2026-11-21T21:00:01Z", waiting=1, woken=2
    )
    assert not pace.is_news(msgspec.structs.replace(REPORT, at="later", load=1.0, versions=(called,)))
    awake = msgspec.structs.replace(called, status=VersionStatus.READY)
    assert pace.is_news(msgspec.structs.replace(REPORT, versions=(awake,)))
    assert pace.is_news(msgspec.structs.replace(REPORT, generation=4))
    assert pace.is_news(msgspec.structs.replace(REPORT, node="other"))


def test_preparations_and_runs_are_news() -> None:
    pace = Pace()
    pace.is_news(REPORT)
    prepared = Prepared(kind="model", name="m", version="1", digest="sha256:0", step="done")
    assert pace.is_news(msgspec.structs.replace(REPORT, prepared=(prepared,)))
    run = RunReport(run="run-1", status=RunStatus.READY)
    assert pace.is_news(msgspec.structs.replace(REPORT, prepared=(prepared,), runs=(run,)))
