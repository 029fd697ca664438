"""What is known of runs that are stopping, and of nodes that fell silent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fairlead.apps.letters import Letter
from fairlead.control import runflow
from fairlead.control.nodes import SILENT_S, Nodes
from fairlead.messages import NodeReport, RunReport
from fairlead.status import RunStatus
from fairlead.store import journal
from fairlead.store.records import App, AppVersion, Bundle, Location, Node, Run, Schedule, User
from fairlead.testing.clock import ManualClock
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("generation", "reported", "gone"),
    [
        (6, False, False),  # the node has not taken the order to stop
        (7, True, False),  # it stops it
        (7, False, True),
        (8, False, True),
    ],
)
def test_a_stopping_run_is_gone_when_its_node_took_the_order_and_is_silent_of_it(
    generation: int, reported: bool, gone: bool
) -> None:
    with memory() as session:
        session.add_all([User(name="ada", roles=("user",), created_at=NOW), Node(name="local", generation=7)])
        session.add(Location(path="lab", zone="UTC", created_at=NOW))
        session.add(
            Bundle(digest="d", kind="app", name="smart", size_bytes=1, key="k", created_by="ada", created_at=NOW)
        )
        session.flush()
        session.add(App(name="smart", owner="ada", created_at=NOW))
        session.flush()
        session.add(
            AppVersion(app="smart", version="1", ordinal=1, digest="d", manifest="", created_by="ada", created_at=NOW)
        )
        session.add(
            Schedule(
                id="sch-1",
                name="s",
                app="smart",
                at="lab",
                zone="UTC",
                created_by="ada",
                created_at=NOW,
                seen_until=NOW,
            )
        )
        session.flush()
        session.add(
            Run(
                id="run-1",
                app="smart",
                version="1",
                schedule="sch-1",
                place="lab",
                status=RunStatus.STOPPING,
                starts_at=NOW,
                user="ada",
                created_at=NOW,
            )
        )
        session.flush()
        runs = {"run-1": RunReport("run-1", RunStatus.STOPPING)} if reported else {}
        reports = (NodeReport("local", generation, "2026-11-20T14:03:00Z", runs=tuple(runs.values())),)
        assert list(runflow._stopped(session, reports, runs)) == (["run-1"] if gone else [])
        assert list(runflow._stopped(session, (), {})) == []


def test_a_letter_that_is_refused_is_told_of_in_the_journal_of_its_run() -> None:
    with memory() as session:
        runflow.write_letter(session, Letter(("a;b@example.org",), "smart is running", "…", "run-1"), NOW)

        assert [event.said for event in journal.history(session, "run", "run-1")] == [
            "nobody was told by mail (smart is running): to: 'a;b@example.org' is no mail address"
        ]


async def test_silence_is_counted_from_the_last_word_of_any_node() -> None:
    clock = ManualClock()
    nodes = Nodes(clock)
    await clock.advance(3)
    assert nodes.silent_s() == 3
    nodes.take(NodeReport("a", 1, "2026-11-20T14:03:00Z"))
    await clock.advance(SILENT_S - 1)
    assert (nodes.silent_s(), len(nodes.alive())) == (SILENT_S - 1, 1)
    await clock.advance(100)
    assert (nodes.silent_s(), nodes.alive(), len(nodes.reports())) == (SILENT_S + 99, (), 1)
