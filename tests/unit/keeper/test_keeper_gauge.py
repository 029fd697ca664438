"""Processor time and memory of replicas, as the keeper measures them."""

from __future__ import annotations

import os

import pytest

from fairlead.keeper.serving.gauge import EVERY_S, KNOWN_S, Gauge
from fairlead.keeper.serving.pool import Replica
from fairlead.keeper.serving.tally import Tally
from fairlead.keeper.serving.version import Version, replica_reports
from fairlead.supervisor import proc


def version_of(*pids: int) -> Version:
    version = Version(("faces", "1"))
    for pid in pids:
        version.replicas[f"r{pid}"] = Replica(f"r{pid}", started=0.0, pid=pid, was_ready=True)
    return version


def test_one_after_the_other_is_measured_and_not_again_while_its_figure_is_fresh() -> None:
    asked: list[int] = []
    gauge, version = Gauge(lambda pid: asked.append(pid) or pid * 1024**2), version_of(1, 2, 3)
    version.replicas["r3"].was_ready = False
    for tick in range(10):
        gauge.look([version], tick * EVERY_S / 2)
    assert asked == [1, 2]
    assert [one.memory_mb for one in replica_reports(version, 0.0)] == [1, 2, 0]
    gauge.look([version], KNOWN_S)
    gauge.look([version], KNOWN_S + EVERY_S)
    assert asked == [1, 2, 1, 2]


def test_processor_time_counts_from_when_a_replica_was_ready_and_outlives_it() -> None:
    tally = Tally()
    assert tally.cpu_s is None
    for seconds in (7.0, 7.5, 9.0):
        tally.worked("r1", seconds)
    assert tally.cpu_s == pytest.approx(2.0)
    tally.gone("r1")
    tally.worked("r2", 3.0)
    tally.worked("r2", 3.5)
    assert tally.cpu_s == pytest.approx(2.5)


def test_the_kernel_tells_processor_time() -> None:
    before = proc.stat(os.getpid())
    assert before is not None
    while (now := proc.stat(os.getpid())) is not None and now.cpu_s <= before.cpu_s:
        sum(range(10_000))
    assert now is not None
    assert now.cpu_s == pytest.approx(sum(os.times()[:2]), abs=1.0)
