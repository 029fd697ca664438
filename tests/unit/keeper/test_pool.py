"""What a version's replicas do next, as tables of states in and steps out."""

from __future__ import annotations

import msgspec
import pytest

from fairlead.identity.seal import fingerprint
from fairlead.keeper.serving.pool import (
    DRAIN_S,
    END_S,
    FROZEN_S,
    LEAVE_S,
    SILENT_S,
    STOPPED_S,
    Demand,
    DrainNow,
    Kill,
    Leave,
    Replica,
    Start,
    awake,
    decide,
    jobs_max,
)
from fairlead.messages import BatchSpec, EnvironmentSpec, ModelSpec, VersionWanted
from fairlead.status import ReplicaStatus

NOW = 1000.0
IDLE = Demand()


def wanted(
    replicas: int = 0, *, may_sleep: bool = True, idle_s: float = 300, start_timeout_s: float = 20
) -> VersionWanted:
    spec = ModelSpec(name="m", version="1", runtime="python", start_timeout_s=start_timeout_s, timeout_s=10)
    return VersionWanted(
        spec=spec,
        digest="d",
        bundle_key="k",
        environment=EnvironmentSpec(),
        gate="g",
        replicas=replicas,
        may_sleep=may_sleep,
        idle_s=idle_s,
    )


def replica(
    name: str = "a", status: ReplicaStatus = ReplicaStatus.READY, *, age: float = 50, beat: float | None = 0.1
) -> Replica:
    made = Replica(name, started=NOW - age, status=status)
    made.beat = None if beat is None else NOW - beat
    return made


def steps(
    version: VersionWanted | None, *replicas: Replica, demand: Demand = IDLE, may_start: bool = True
) -> list[object]:
    return list(decide(version, replicas, demand, NOW, may_start=may_start))


def test_an_idle_version_that_may_sleep_has_no_replica() -> None:
    assert steps(wanted()) == []


def test_a_waiting_request_starts_one_replica() -> None:
    assert steps(wanted(), demand=Demand(waiting=7)) == [Start("asked for")]


def test_a_second_request_starts_no_second_replica_while_the_first_starts() -> None:
    assert steps(wanted(), replica(status=ReplicaStatus.STARTING, age=1, beat=None), demand=Demand(waiting=7)) == []


def test_nothing_starts_while_a_back_off_holds() -> None:
    assert steps(wanted(2), may_start=False) == []


def test_what_is_wanted_is_started() -> None:
    assert steps(wanted(3), replica()) == [Start("wanted"), Start("wanted")]


@pytest.mark.parametrize(("since_call", "count"), [(299, 1), (301, 0)])
def test_a_version_stays_awake_for_idle_s_after_its_last_call(since_call: float, count: int) -> None:
    assert awake(wanted(), Demand(last_called=NOW - since_call), NOW) == count


def test_a_version_that_may_not_sleep_keeps_its_replicas() -> None:
    assert awake(wanted(2, may_sleep=False), IDLE, NOW) == 2


def test_a_version_told_to_sleep_does_so_however_lately_it_was_called_unless_somebody_waits() -> None:
    assert awake(wanted(1), Demand(last_called=NOW, rests=True), NOW) == 0
    assert awake(wanted(1), Demand(waiting=1, rests=True), NOW) == 1
    assert awake(wanted(2, may_sleep=False), Demand(rests=True), NOW) == 2


def test_an_idle_replica_leaves_the_front_door_before_it_drains() -> None:
    leaving = replica()

    assert steps(wanted(), leaving) == [Leave("a", "idle")]

    leaving.left, leaving.status = NOW - 10, ReplicaStatus.DRAINING
    assert steps(wanted(), leaving) == [], "the front door still knows it"

    leaving.forgotten = NOW - LEAVE_S / 2
    assert steps(wanted(), leaving) == [], "calls may be on their way"

    leaving.forgotten = NOW - LEAVE_S
    assert steps(wanted(), leaving) == [DrainNow("a")]


def test_a_drained_replica_that_does_not_end_is_killed() -> None:
    stubborn = replica(status=ReplicaStatus.DRAINING)
    stubborn.left, stubborn.drained = NOW - DRAIN_S - 2, NOW - DRAIN_S - 1

    assert steps(wanted(), stubborn) == [Kill("a", "did not end in time")]


@pytest.mark.parametrize(
    ("cost_s", "concurrency", "max_size", "jobs"),
    [
        (None, 1, 64, 1),  # nobody knows: one tells
        (None, 8, 64, 8),
        (10.0, 1, 64, 1),
        (1.2, 1, 64, 2),  # two, so that a model that does both at once is found out
        (0.4, 1, 64, 6),
        (0.4, 4, 64, 21),
        (0.001, 1, 64, 64),
        (0.0, 1, 64, 64),
        (0.001, 1, 1, 1),
        (0.001, 200, 1, 64),
    ],
)
def test_a_replica_is_handed_jobs_for_two_seconds(
    cost_s: float | None, concurrency: int, max_size: int, jobs: int
) -> None:
    spec = ModelSpec("m", "1", "python", concurrency=concurrency, batch=BatchSpec(max_size=max_size))

    assert jobs_max(spec, cost_s) == jobs


def test_a_replica_is_handed_few_jobs_before_it_has_ended_some() -> None:
    """64 jobs of a minute each, after calls of a millisecond, would wait for one replica while others are idle."""
    one, held = replica(), []
    for done in range(6):
        one.jobs_done, one.jobs = done, set()
        while one.takes_job(limit=8, first=2):
            one.jobs.add(f"job-{len(one.jobs)}")
        held.append(len(one.jobs))

    assert held == [2, 3, 5, 7, 8, 8]


def test_after_a_crash_one_is_tried_before_all_are_started() -> None:
    five, one = wanted(5), replica()

    assert len(decide(five, [], IDLE, NOW, may_start=True)) == 5
    assert len(decide(five, [], IDLE, NOW, may_start=True, crashed=True)) == 1
    starting = replica(status=ReplicaStatus.STARTING)
    starting.started = NOW
    assert decide(five, [starting], IDLE, NOW, may_start=True, crashed=True) == []
    assert len(decide(five, [one], IDLE, NOW, may_start=True, crashed=True)) == 4


def test_a_call_that_may_take_long_is_waited_for() -> None:
    slow = msgspec.structs.replace(wanted(), spec=msgspec.structs.replace(wanted().spec, timeout_s=600))
    draining = replica(status=ReplicaStatus.DRAINING)
    draining.left, draining.drained = NOW - 500, NOW - 500
    assert steps(slow, draining) == []

    draining.drained = NOW - 606
    assert steps(slow, draining) == [Kill("a", "did not end in time")]


def test_the_least_useful_replica_leaves_first() -> None:
    busy, idle, starting = (
        replica("busy"),
        replica("idle"),
        replica("starting", ReplicaStatus.STARTING, age=1, beat=None),
    )
    busy.in_flight = 3

    assert steps(wanted(1), busy, idle, starting) == [
        Leave("starting", "fewer are wanted"),
        Leave("idle", "fewer are wanted"),
    ]


def test_a_silent_replica_leaves_the_rotation_before_it_is_killed() -> None:
    silent = replica(beat=SILENT_S + 0.1)

    assert not silent.in_rotation(NOW)
    assert steps(wanted(1), silent) == []


def test_a_frozen_replica_is_killed_and_replaced() -> None:
    frozen = replica(beat=FROZEN_S + 0.1)

    assert steps(wanted(1), frozen) == [Kill("a", "frozen: no sign of life for 7 s"), Start("wanted")]


def test_an_adopted_replica_that_never_answers_is_killed() -> None:
    stopped = replica(status=ReplicaStatus.STARTING, age=FROZEN_S + 0.1, beat=None)
    stopped.adopted = True

    assert steps(wanted(1), stopped) == [Kill("a", "frozen: no sign of life for 7 s"), Start("wanted")]


def test_a_replica_that_hangs_at_load_is_killed_after_its_limit() -> None:
    slow = replica(status=ReplicaStatus.STARTING, age=21, beat=0.1)

    assert steps(wanted(1), slow)[0] == Kill("a", "not ready after 20 s")


def test_a_call_without_progress_beyond_its_limit_is_stuck() -> None:
    stuck = replica()
    stuck.stuck_s = 16

    assert isinstance(steps(wanted(1), stuck)[0], Kill)


def test_replicas_of_a_version_that_is_wanted_no_more_leave() -> None:
    assert steps(None, replica()) == [Leave("a", "not wanted any more")]


def test_a_crashed_replica_counts_for_nothing() -> None:
    assert steps(wanted(1), replica(status=ReplicaStatus.CRASHED)) == [Start("wanted")]


def test_replicas_with_older_secrets_leave_once_new_ones_answer() -> None:
    version = msgspec.structs.replace(wanted(1, may_sleep=False), secrets={"KEY": b"sealed"})
    old, new = replica("old"), replica("new", ReplicaStatus.STARTING, age=1, beat=None)
    new.secrets = fingerprint(version.secrets)

    assert steps(version, old) == [Start("wanted")]
    assert steps(version, old, new) == []
    new.status, new.beat = ReplicaStatus.READY, NOW
    assert steps(version, old, new) == [Leave("old", "its secrets have changed")]
    assert steps(version, new) == []


def test_the_compiled_one_takes_over_once_it_answers_and_gives_way_when_it_is_refused() -> None:
    version = wanted(1, may_sleep=False)
    plain, program = replica("plain"), replica("program", ReplicaStatus.STARTING, age=1, beat=None)
    program.compiled = True
    assert list(decide(version, [plain], IDLE, NOW, may_start=True, compiled=True)) == [Start("wanted")]
    assert list(decide(version, [plain, program], IDLE, NOW, may_start=True, compiled=True)) == []
    program.status, program.beat = ReplicaStatus.READY, NOW
    (leave,) = decide(version, [plain, program], IDLE, NOW, may_start=True, compiled=True)
    assert leave == Leave("plain", "the compiled one takes its place")
    assert list(decide(version, [program], IDLE, NOW, may_start=True, compiled=False)) == [Start("wanted")]


def test_a_version_that_falls_asleep_needs_no_new_replica_for_new_secrets() -> None:
    version = msgspec.structs.replace(wanted(), secrets={"KEY": b"sealed"})

    assert steps(version, replica("old")) == [Leave("old", "its secrets have changed")]


def test_a_stopped_replica_is_out_of_rotation_at_once_and_ended_soon() -> None:
    version, stopped = wanted(1), replica()
    assert stopped.in_rotation(NOW)
    stopped.stopped = NOW - STOPPED_S / 2
    assert not stopped.in_rotation(NOW)
    assert steps(version, stopped) == []
    stopped.stopped = NOW - 2 * STOPPED_S
    assert Kill("a", "stopped by a signal") in steps(version, stopped)


@pytest.mark.parametrize(("status", "limit"), [(ReplicaStatus.CRASHED, END_S), (ReplicaStatus.DRAINING, DRAIN_S)])
def test_a_replica_that_says_that_it_ends_and_does_not_is_killed(status: ReplicaStatus, limit: float) -> None:
    ending = replica(status=status)
    ending.ended = NOW - limit + 0.1
    assert steps(wanted(1), ending, may_start=False) == []
    ending.ended = NOW - limit - 0.1
    assert steps(wanted(1), ending, may_start=False) == [
        Kill("a", f"said that it ends, and did not within {limit:g} s")
    ]


def test_a_replica_that_answers_nothing_leaves_and_another_starts() -> None:
    bad = replica("bad")
    bad.hopeless = "it fails all its calls"
    said = steps(wanted(2, may_sleep=False), replica("well"), bad)
    assert said == [Leave("bad", "it fails all its calls"), Start("wanted")]
