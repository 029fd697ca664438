"""Random kills of all kinds of processes, at random moments, under load; afterwards the same holds as ever.

``FAIRLEAD_KILLS`` says how many, ``FAIRLEAD_SEED`` which; a failing run prints its seed.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.thread import load as loads
from tests.thread.load import ECHO, FRAGILE, Call, Load, alive, kill
from tests.thread.rig import Platform, platform, until

KILLS = int(os.environ.get("FAIRLEAD_KILLS", "100"))
SEED = int(os.environ.get("FAIRLEAD_SEED", "1"))
LATE_S = 90.0
BURST, SLATE_S = 5, 65.0
"""Of one kind no more than so many in so long: beyond that it counts as crashing in a loop, and is left alone a while."""
pytestmark = [pytest.mark.long, pytest.mark.timeout(300 + 20 * KILLS)]


@dataclass
class Chaos:
    """Kills, and when what may fail."""

    load: Load
    random: random.Random
    done: list[tuple[str, float]] = field(default_factory=list)
    doorless: list[tuple[float, float]] = field(default_factory=list)
    """From the end of a front door to the first answer of the next: connections may fail."""
    keeperless: list[tuple[float, float]] = field(default_factory=list)
    """From the end of a keeper until the next is ready: what ends meanwhile is not replaced."""

    @property
    def platform(self) -> Platform:
        return self.load.platform

    def kinds(self) -> dict[str, Callable[[], None]]:
        return {
            "replica": lambda: self._kill_replica(signal.SIGKILL),
            "stopped replica": lambda: self._kill_replica(signal.SIGSTOP),
            "zygote": lambda: self._kill(self.platform.pid_of("zygote", ECHO)),
            "app": lambda: self._kill(self.platform.pid_of("run")),
            "control": lambda: self._kill(self.platform.pids().get("control", 0)),
            "bus": lambda: self._kill(self.platform.pids().get("bus", 0)),
            "envoy": self._kill_door,
            "keeper": lambda: self._kill_keeper(),
            "keeper with control": lambda: self._kill_keeper("control"),
            "keeper with bus": lambda: self._kill_keeper("bus"),
            "keeper with zygote": lambda: self._kill_keeper(self._zygote()),
            "keeper, killed again as it starts": self._kill_keeper_twice,
        }

    def strike(self) -> str:
        """Kill something that is not worn out yet; return what."""
        kinds = self.kinds()
        until(self._fresh, "something may be killed", SLATE_S * 2, every_s=1)
        kind = self.random.choice(self._fresh())
        self.done.append((kind, time.monotonic()))
        kinds[kind]()
        return kind

    def excuses(self, call: Call) -> bool:
        """Whether a failed call may have failed."""
        ended = call.sent + call.took_s
        by_door = any(begin <= ended and call.sent <= end for begin, end in self.doorless)
        by_keeper = any(begin <= ended and call.sent <= end for begin, end in self.keeperless)
        return (call.status == 0 and by_door) or (call.status in (502, 503) and by_keeper)

    def _fresh(self) -> list[str]:
        recent = Counter(word for kind, at in self.done if time.monotonic() - at < SLATE_S for word in _parts(kind))
        return [kind for kind in self.kinds() if all(recent[word] < BURST for word in _parts(kind))]

    def _zygote(self) -> str:
        names = [str(r["name"]) for r in loads.records(self.platform) if loads.is_of(r, "zygote", ECHO)]
        return names[0] if names else ""

    def _kill(self, pid: int) -> None:
        if pid and alive(pid):
            kill(pid)

    def _kill_replica(self, number: int) -> None:
        found = sorted(
            pid for r in loads.records(self.platform) if loads.is_of(r, "replica", ECHO) and (pid := loads.pid(r))
        )
        living = [pid for pid in found if alive(pid)]
        if living:
            kill(self.random.choice(living), number)

    def _kill_door(self) -> None:
        began = time.monotonic()
        self._kill(self.platform.pids().get("envoy", 0))
        self._note_door(began)

    def _note_door(self, began: float) -> None:
        until(lambda: any(call.is_good for call in self.load.since(began + 0.05)), "the front door is back", LATE_S)
        self.doorless.append((began, time.monotonic()))

    def _kill_keeper(self, *also: str) -> None:
        made, began = self.platform, time.monotonic()
        assert made.process is not None
        victims = [made.process.pid, *(made.pids().get(name, 0) for name in also)]
        for victim in victims:
            self._kill(victim)
        made.process.wait(10)
        time.sleep(self.random.uniform(0, 2))
        made.up()
        self.keeperless.append((began, time.monotonic()))

    def _kill_keeper_twice(self) -> None:
        made, began = self.platform, time.monotonic()
        assert made.process is not None
        for _ in range(2):
            made.process.kill()
            made.process.wait(10)
            made.begin()
            time.sleep(self.random.uniform(0.3, 3))
        made.process.kill()
        made.process.wait(10)
        made.up()
        self.keeperless.append((began, time.monotonic()))


def _parts(kind: str) -> tuple[str, ...]:
    """Return the processes that a kind wears out."""
    if kind.startswith("keeper"):
        return tuple(word for word in ("control", "bus", "zygote") if word in kind)
    return (kind.removeprefix("stopped "),)


@pytest.fixture
def chaos() -> Iterator[Chaos]:
    print(f"FAIRLEAD_KILLS={KILLS} FAIRLEAD_SEED={SEED}")
    with (
        platform() as made,
        tempfile.TemporaryDirectory(prefix="fl-die-") as folder,
        loads.under_load(made, Path(folder)) as load,
    ):
        yield Chaos(load, random.Random(SEED))


def test_nothing_is_lost_whatever_is_killed(chaos: Chaos) -> None:
    load, made = chaos.load, chaos.platform
    for number in range(KILLS):
        print(f"{number + 1}. {chaos.strike()} at {chaos.done[-1][1]:.1f} s", flush=True)
        time.sleep(chaos.random.uniform(0.1, 3.0))
    load.steady(3)
    load.stop()
    wrong = [call for call in load.failed() if not chaos.excuses(call)]
    took = sorted(call.took_s for call in load.calls if call.is_good)
    print(f"{len(load.calls)} calls, {len(load.failed())} failed; p50 {_share(took, 0.5)}, p99 {_share(took, 0.99)}")
    print(f"{len(load.accepted)} jobs: {loads.check_jobs(made, load.accepted)}")
    assert not wrong, f"{len(wrong)} calls failed without an excuse: {wrong[:3]}"
    until(lambda: loads.run_status(made) == "ready", "the run is ready", LATE_S)
    made.down()
    loads.check_ledger(made, load.accepted)
    loads.check_gone(made)


def _share(sorted_s: list[float], share: float) -> str:
    return f"{sorted_s[int(len(sorted_s) * share)] * 1000:.0f} ms"


def test_a_crash_loop_is_contained_for_its_first_thirty_seconds(chaos: Chaos) -> None:
    """Six starts at most, whoever calls how often; others do not notice."""
    made, began = chaos.platform, time.monotonic()
    before, over = loads.starts(made, FRAGILE), threading.Event()

    def insist() -> None:
        with made.client() as client:
            while not over.wait(0.05):
                answer: httpx.Response = client.post(f"/v1/models/{FRAGILE}/predict", json={"n": 1, "die": True})
                assert answer.status_code in (502, 503), answer.text

    callers = [threading.Thread(target=insist, daemon=True) for _ in range(3)]
    for caller in callers:
        caller.start()
    until(lambda: time.monotonic() - began > 30, "thirty seconds are over", 40)
    count = loads.starts(made, FRAGILE) - before
    over.set()
    for caller in callers:
        caller.join(30)
    assert count <= 6
    assert not chaos.load.failed(began)
