"""Every process of a platform under load is killed in turn: what must go on goes on, what died comes back in time.

The limits are those of the note on reliability, held as ``promises`` says.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.thread import load as loads
from tests.thread.load import Load, after, alive, kill
from tests.thread.load_deploy import ECHO, FRAGILE, METER, NAP, run_status, seen
from tests.thread.promises import SLACK, in_time
from tests.thread.rig import Platform, platform, until

pytestmark = pytest.mark.timeout(300)
ENVOY_S, BUS_S, CONTROL_S, REPLICA_S, OUT_S, REPLACED_S = 1.0, 2.0, 3.0, 1.0, 3.0, 10.0
WAITED_S = 3.0
"""Longest wait of a call in a replica that was stopped."""
LATE_S = 60.0
SETTLED_S = 0.05
"""Once a call was answered again, none fails after so long."""


@pytest.fixture(scope="module")
def under_load() -> Iterator[Load]:
    with (
        platform() as made,
        tempfile.TemporaryDirectory(prefix="fl-die-") as folder,
        loads.under_load(made, Path(folder), most=2) as load,  # on a busy machine two are not enough, and four came
    ):
        yield load


@pytest.fixture
def steady(under_load: Load) -> Load:
    """The load, once all goes well: what a test finds is its own doing."""
    under_load.steady()
    until(lambda: len(replicas(under_load.platform)) == 2, "two replicas run")
    return under_load


def replicas(made: Platform, model: str = ECHO) -> set[int]:
    """Return the pids of the recorded replicas of a model that live."""
    found = [record for record in loads.records(made) if loads.is_of(record, "replica", model)]
    return {pid for record in found if alive(pid := loads.pid(record))}


def new_answer(load: Load, since: float, known: set[int]) -> Callable[[], bool]:
    """Return a look whether somebody not ``known`` has answered a call."""
    return lambda: bool(load.pids(since) - known)


def is_job_done(load: Load) -> Callable[[], bool]:
    """Return a look whether a job can be submitted and ends."""

    def look() -> bool:
        with load.platform.client(timeout_s=10) as client:
            try:
                answer = client.post(f"/v1/models/{ECHO}/jobs", json={"n": 7}, headers={"Prefer": "wait=5"})
            except httpx.TransportError:
                return False
        return answer.status_code == 200 and answer.json()["n"] == 7

    return look


def reading_arrives(load: Load, since: float) -> None:
    """Wait until the app has handled a reading that was sent after ``since``."""
    until(
        lambda: any(load.readings.get(number, 0) > since for number in seen(load.platform)),
        f"a reading of {METER} reaches the app",
        LATE_S,
    )


def answers(load: Load, path: str) -> bool:
    with load.platform.client(timeout_s=5) as client:
        try:
            return client.get(path).status_code == 200
        except httpx.TransportError:
            return False


def nothing_failed(load: Load, since: float) -> None:
    failed = load.failed(since)
    assert failed == [], f"{len(failed)} of {len(load.since(since))} failed, the first {failed[:3]}"


# --- one process at a time ------------------------------------------------------------------------------------------------


def test_replica_is_replaced_and_its_calls_are_answered_by_the_other(steady: Load) -> None:
    """F-04, with jobs and readings beside; the call in hand itself: test_faults."""
    before = replicas(steady.platform)
    killed = kill(next(iter(before)))
    took = after(killed, new_answer(steady, killed, before), "a new replica answers", LATE_S)
    in_time("replica replaced", took, REPLICA_S)
    steady.steady()
    nothing_failed(steady, killed - 1)


def test_zygote_dies_alone(steady: Load) -> None:
    made, before = steady.platform, replicas(steady.platform)
    zygote = made.pid_of("zygote", ECHO)
    killed = kill(zygote)
    took = after(killed, lambda: made.pid_of("zygote", ECHO) not in (0, zygote), "a new zygote runs", LATE_S)
    print(f"zygote replaced: {took:.2f} s")
    assert replicas(made) == before
    second = kill(next(iter(before)))
    after(second, new_answer(steady, second, before), "the new zygote forks", LATE_S)
    steady.steady()
    nothing_failed(steady, killed - 1)


def test_app_is_started_again(steady: Load) -> None:
    made = steady.platform
    app = made.pid_of("run")
    killed = kill(app)
    took = after(killed, lambda: made.pid_of("run") not in (0, app), "the app runs again", LATE_S)
    print(f"app started again: {took:.2f} s")
    until(lambda: run_status(made) == "ready", "the run is ready", LATE_S)
    reading_arrives(steady, time.monotonic())
    nothing_failed(steady, killed - 1)


def test_control_dies_and_models_do_not_notice(steady: Load) -> None:
    made, kept = steady.platform, steady.platform.pids()
    killed = kill(kept["control"])
    with made.client() as client:  # the waker needs no control either
        assert client.post(f"/v1/models/{NAP}/predict", json={"n": 3}).json()["n"] == 3
    took = after(killed, lambda: answers(steady, "/api/v1/me"), "control answers", LATE_S)
    in_time("control back", took, CONTROL_S)
    until(is_job_done(steady), "a job is done", LATE_S)
    reading_arrives(steady, killed)
    nothing_failed(steady, killed - 1)
    now = made.pids()
    assert {name: pid for name, pid in kept.items() if name != "control"}.items() <= now.items() | replicas_of(kept)


def replicas_of(kept: dict[str, int]) -> set[tuple[str, int]]:
    """Return the records of models that may sleep: those may come and go."""
    return {(name, pid) for name, pid in kept.items() if name.startswith((NAP, FRAGILE))}


def test_front_door_dies_and_is_back_with_what_it_had(steady: Load) -> None:
    killed = kill(steady.platform.pids()["envoy"])
    after(killed, lambda: any(c.is_good for c in steady.since(killed)), "a call is answered", LATE_S)
    back = min(call.sent for call in steady.since(killed) if call.is_good)
    in_time("front door back", back - killed, ENVOY_S)
    steady.steady()
    refused = {call.status for call in steady.failed(killed)}
    assert refused <= {0}, f"only connections may fail: {refused}"
    settled = back + SETTLED_S * SLACK
    late = [call for call in steady.failed(settled) if call.sent > settled]
    assert late == [], f"failed after it was back: {late[:3]}"
    reading_arrives(steady, time.monotonic())


def test_bus_dies_and_models_do_not_notice(steady: Load) -> None:
    made, bus = steady.platform, steady.platform.pids()["bus"]
    killed = kill(bus)
    took = after(killed, lambda: made.pids().get("bus") not in (None, bus) and is_bus_up(made), "the bus is up", LATE_S)
    in_time("bus back", took, BUS_S)
    took = after(killed, is_job_done(steady), "a job is done", LATE_S)
    in_time("jobs go on", took, 5)
    reading_arrives(steady, killed + took)
    print(f"readings go on: {time.monotonic() - killed:.2f} s")
    nothing_failed(steady, killed - 1)


def is_bus_up(made: Platform) -> bool:
    programs = made.get("/status")["processes"]
    return any(item["name"] == "bus" and item["status"] == "running" for item in programs)


def test_stopped_replica_leaves_the_rotation_and_is_replaced(steady: Load) -> None:
    """F-08 with one of two, jobs and readings beside; one of three: test_faults."""
    before = replicas(steady.platform)
    stopped = next(iter(before))
    moment = kill(stopped, signal.SIGSTOP)
    replaced = after(moment, new_answer(steady, moment, before), "a new replica answers", LATE_S)
    in_time("stopped replica replaced", replaced, REPLACED_S)
    until(lambda: not alive(stopped), "the stopped one is ended")
    steady.steady()
    hung = [call for call in steady.since(moment) if call.took_s > 2]
    out = max((call.sent for call in hung), default=moment) - moment
    in_time("stopped replica out of rotation", out, OUT_S)
    print(f"{len(hung)} of {len(steady.since(moment))} calls took longer than 2 s")
    longest = max(call.took_s for call in steady.since(moment))
    in_time("calls that waited in it answered by another", longest, WAITED_S)
    nothing_failed(steady, moment - 1)


# --- the keeper -------------------------------------------------------------------------------------------------------------


def up_again(load: Load, *also: str) -> float:
    """Kill the keeper and those named ``also``, start it again, and return when it was killed; all else is adopted."""
    made = load.platform
    kept = {name: pid for name, pid in made.pids().items() if name not in also and not is_fleeting(name)}
    assert made.process is not None
    killed = time.monotonic()
    victims = [made.process.pid, *(made.pids()[name] for name in also)]
    for victim in victims:
        kill(victim)
    made.process.wait(10)
    alone = time.monotonic()
    until(lambda: time.monotonic() - alone > 1.5, "calls are answered without a keeper")
    if "control" not in also:
        assert answers(load, "/api/v1/me")
    print(f"up again: {made.up():.2f} s")
    now = made.pids()
    assert kept.items() <= now.items(), f"not adopted: {kept.items() - now.items()}"
    return killed


def is_fleeting(name: str) -> bool:
    """Whether a record is of a model that may sleep."""
    return name.startswith((NAP, FRAGILE))


@pytest.mark.parametrize("also", [(), ("control",)], ids=["alone", "with control"])
def test_keeper_comes_back_and_adopts_all(steady: Load, also: tuple[str, ...]) -> None:
    killed = up_again(steady, *also)
    until(is_job_done(steady), "a job is done", LATE_S)
    reading_arrives(steady, time.monotonic())
    before = replicas(steady.platform)
    again = kill(next(iter(before)))  # what was adopted is watched
    took = after(again, new_answer(steady, again, before), "a new replica answers", LATE_S)
    in_time("adopted replica replaced", took, REPLICA_S)
    with steady.platform.client() as client:
        assert client.post(f"/v1/models/{NAP}/predict", json={"n": 4}).json()["n"] == 4
    steady.steady()
    nothing_failed(steady, killed - 1)


# --- a model that always dies -----------------------------------------------------------------------------------------------


def test_crash_loop_is_contained_and_says_so(steady: Load) -> None:
    """F-16, by calls that end it: at most six starts in thirty seconds: the last ones are over soon, and then the answer says for how long."""
    made = steady.platform
    began, before = time.monotonic(), loads.starts(made, FRAGILE)
    with made.client() as client:

        def die() -> httpx.Response:
            answer = client.post(f"/v1/models/{FRAGILE}/predict", json={"n": 1, "die": True})
            assert answer.status_code in (502, 503), answer.text
            return answer

        last = until(lambda: answer if is_loop(answer := die()) else None, "it is said to crash in a loop", LATE_S)
        told = time.monotonic()
        made_starts, silent_s = loads.starts(made, FRAGILE) - before, int(last.headers["retry-after"])
        print(f"{made_starts} starts in {told - began:.1f} s, then a pause of {silent_s} s: {last.text}")
        assert made_starts <= 6
        assert 30 - (told - began) - 1 <= silent_s <= 60
        in_time("refused", min(die().elapsed.total_seconds() for _ in range(5)), 0.05)
        until(lambda: time.monotonic() - told > 3 or not is_loop(die()), "calls are refused")
    assert loads.starts(made, FRAGILE) - before == made_starts
    nothing_failed(steady, began)


def is_loop(answer: httpx.Response) -> bool:
    return answer.status_code == 503 and answer.json()["error"]["code"] == "crash_loop"


# --- what is left in the end ------------------------------------------------------------------------------------------------


def test_nothing_accepted_is_lost_and_nothing_is_left_running(under_load: Load) -> None:
    under_load.steady()
    under_load.stop()
    made = under_load.platform
    print(f"{len(under_load.calls)} calls, {len(under_load.accepted)} jobs, {len(under_load.readings)} readings")
    print(loads.check_jobs(made, under_load.accepted))
    made.down()
    loads.check_ledger(made, under_load.accepted)
    loads.check_gone(made)


@pytest.mark.parametrize("moment", ["fairlead.sandbox.run", "/environments/"])
def test_down_ends_what_a_killed_start_had_begun(under_load: Load, moment: str) -> None:
    """Killed as soon as such a process is there; the home has models and a run, which start at once."""
    made = under_load.platform
    assert made.leftovers() == []
    made.begin()
    kill_keeper_when(made, moment)
    assert made.leftovers() != []
    assert made.down().startswith("stopped")
    loads.check_gone(made)


def test_killed_at_its_first_start_it_starts_again() -> None:
    with platform(start=False) as made:
        made.begin()
        kill_keeper_when(made, "fairlead.api")
        made.up()
        assert any(line.startswith("admin password") for line in made.said), made.said
        assert made.get("/me")["user"] == "admin"
        made.down()
        loads.check_gone(made)


def kill_keeper_when(made: Platform, command: str) -> None:
    """Kill a keeper that starts as soon as a process with ``command`` in its command line is there."""
    keeper = made.process
    assert keeper is not None

    def runs() -> bool:
        assert keeper.poll() is None, f"up ended with {keeper.returncode}: {made.complained} {made.logs()}"
        return any(command in each for each in made.leftovers())

    until(runs, f"{command} runs", LATE_S, every_s=0.005)
    keeper.kill()
    keeper.wait(10)
    made.process = None
