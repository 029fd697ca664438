"""What the keeper knows of a version: crashes, and what those that wait are told."""

import asyncio

import pytest

from fairlead.errors import Unavailable
from fairlead.figures import SECONDS, Figures, observed
from fairlead.keeper.serving.pool import Replica
from fairlead.keeper.serving.version import Version, replica_reports, version_report
from fairlead.messages import Beat, EnvironmentSpec, Evidence, ModelSpec, Tried, VersionWanted
from fairlead.status import ReplicaStatus


def crash_in_a_loop(version: Version) -> None:
    for number in range(6):
        version.crashed(started=float(number), now=number + 0.5, reason="exit 3", chance=0)


def test_a_crash_loop_is_told_with_the_time_that_is_left() -> None:
    version = Version(("echo", "1"))
    crash_in_a_loop(version)

    with pytest.raises(Unavailable) as refused:
        version.refuse_hopeless(now=15.5)

    assert refused.value.code == "crash_loop"
    assert refused.value.retry_after_s == 20
    assert not version.may_start(now=35)


def test_after_the_pause_a_request_has_it_tried_again() -> None:
    version = Version(("echo", "1"))
    crash_in_a_loop(version)

    version.refuse_hopeless(now=35.5)

    assert version.may_start(now=35.5)


async def test_a_crash_loop_refuses_those_that_wait() -> None:
    version = Version(("echo", "1"))
    version.waiters.append(waiter := asyncio.get_running_loop().create_future())

    crash_in_a_loop(version)

    with pytest.raises(Unavailable, match="exit 3"):
        await waiter


def test_a_replica_that_lived_for_a_minute_begins_anew() -> None:
    version = Version(("echo", "1"))

    for number in range(20):
        version.crashed(started=number * 61.0, now=(number + 1) * 61.0, reason="killed", chance=0)

    assert version.may_start(now=20 * 61.0)
    assert version.loop == ""


def test_a_version_told_to_sleep_rests_until_a_replica_of_it_is_ready_again() -> None:
    version = Version(("echo", "1"))
    replica = Replica(id="r1", started=0.0)
    counted = Beat(ReplicaStatus.READY, served=1)
    version.heard(replica, Beat(ReplicaStatus.READY), now=1.0, at="")
    version.rests = True

    version.heard(replica, counted, now=2.0, at="")  # a call before it was told, counted after

    assert version.demand().rests
    version.heard(Replica(id="r2", started=3.0), Beat(ReplicaStatus.READY), now=4.0, at="")
    assert not version.demand().rests


def test_a_version_is_said_to_be_compiled_once_no_replica_answers_as_it_is() -> None:
    wanted = VersionWanted(
        spec=ModelSpec(name="m", version="1", runtime="sklearn"),
        digest="d",
        bundle_key="",
        environment=EnvironmentSpec(),
        gate="g",
    )
    version = Version(("m", "1"), is_compiled=True, serving="compiled (onnx): 9 times")
    plain = Replica("plain", started=0, status=ReplicaStatus.READY, beat=10)
    version.replicas["plain"] = plain
    assert version_report(version, wanted, 10).serving == "as it is: the compiled one is starting"
    plain.left = 10
    assert version_report(version, wanted, 10).serving == "compiled (onnx): 9 times"
    assert [one.compiled for one in replica_reports(version, 10)] == [False]


def test_the_last_crash_is_reported_with_its_cause_and_time() -> None:
    version = Version(("echo", "1"))
    version.crashed(1.0, 2.0, "exit 3", 0, "2026-11-20T14:03:00Z")

    assert (version.crash, version.crashed_at) == ("exit 3", "2026-11-20T14:03:00Z")


def test_how_the_examples_went_is_reported_of_the_replica_that_tried_them_until_the_last_one_is_gone() -> None:
    version = Version(("echo", "1"))
    wanted = VersionWanted(ModelSpec("echo", "1", "python"), "d", "k", EnvironmentSpec(), "gate")
    replica = version.replicas["a"] = Replica("a", started=0)
    went = (Tried("two", True, True, 3.0),)
    version.heard(replica, Beat(ReplicaStatus.READY, evidence=Evidence("2026-11-20T14:03:00Z", "?", went)), 1, "")
    version.heard(replica, Beat(ReplicaStatus.READY), 2, "")

    assert version_report(version, wanted, 10).evidence == Evidence("2026-11-20T14:03:00Z", "a", went)
    version.replicas.clear()
    assert version_report(version, wanted, 10).evidence is None


def test_f09_an_ejected_replica_is_told_with_why_and_chosen_only_where_there_is_no_other() -> None:
    version = Version(("echo", "1"))
    for name, in_flight in (("a", 5), ("b", 0)):
        replica = Replica(name, started=0, status=ReplicaStatus.READY, beat=10, in_flight=in_flight)
        version.replicas[name], version.links[name] = replica, object()  # type: ignore[assignment]
    chosen = [version.choose(10), version.choose_for_job(10, limit=2)]
    assert [one.id for one in chosen if one] == ["b", "a"]

    version.replicas["b"].ejected = "510 ms a call, the others take 51 ms"
    version.replicas["a"].jobs.add("job-1")

    chosen = [version.choose(10), version.choose_for_job(10, limit=2), version.choose_for_job(10, limit=1)]
    assert [one.id for one in chosen if one] == ["a", "a", "b"]
    reasons = [(one.replica, one.reason) for one in replica_reports(version, 10) if one.ejected]
    assert reasons == [("b", "ejected: 510 ms a call, the others take 51 ms")]


def test_f09_a_version_compares_what_its_replicas_say_and_notes_who_is_ejected_and_when() -> None:
    version, total = Version(("echo", "1")), {"a": Figures(), "b": Figures()}
    for name in total:
        version.replicas[name] = Replica(name, started=0, status=ReplicaStatus.READY)
    for now in range(20):
        for name, took in (("a", 0.05), ("b", 0.5)):
            for _ in range(10):
                compute = observed(total[name].compute, SECONDS, took)
                total[name] = Figures(served=total[name].served + 1, compute=compute)
            version.heard(version.replicas[name], Beat(ReplicaStatus.READY, figures=total[name]), now, "")
        version.compare(now, f"2026-11-21T14:00:{now:02}Z")

    assert {name: bool(one.ejected) for name, one in version.replicas.items()} == {"a": False, "b": True}
    assert version.shift.startswith("a replica is ejected: b slow: ")
    assert version.shifted_at is not None
    assert version.tally.ejections == {"slow": 1}


def test_that_a_crash_loop_begins_is_told_once() -> None:
    version = Version(("echo", "1"))
    for number in range(8):
        version.crashed(started=float(number), now=number + 0.5, reason="exit 3", chance=0, moment=f"at {number}")
    assert version.shift.startswith("a replica is not started again at once: ")
    assert version.shifted_at == "at 5"
