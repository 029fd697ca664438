"""What may happen to a platform, again and again, by a seed; and what may fail of a prediction then."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from tests.thread import load as loads
from tests.thread.load import Call, Load, alive, kill
from tests.thread.load_deploy import ECHO
from tests.thread.rig import Platform, until

from fairlead.supervisor import strays

LATE_S = 90.0
BURST, SLATE_S = {"all": 2}, 65.0
"""Of one process no more than so many (5 unless said) in so long: beyond that it counts as crashing in a loop, and is left
alone a while."""
BURST_MAX = 5
STOPPED_S = (0.3, 5.0)
"""How long a process is stopped before it may go on; the keeper itself ends what is stopped for 15 s."""
LOST_WITHIN_S = 8.0
"""A call is sent once more, so it is lost where two replicas are; one that was stopped holds its calls this long."""
PROMISES = {
    "the front door was killed": "connections may end, until the next one answers",
    "the keeper was killed or stopped": "502 or 503, where no replica is left, until it is back and a call is answered",
    "two replicas were lost": "503 replica_lost for a call that was in both, or that had waited for the second",
    "anything else": "nothing may fail",
}
"""What may fail of predictions: connections, or answers that say why. Wrong answers never may."""


@dataclass(slots=True)
class Strike:
    """Something that was done to the platform; moments are monotonic."""

    kind: str
    at: float
    wall: float
    """Seconds since 1970."""
    back_s: float | None = None
    """Until what was hit was back; None: it was not, or is not measured."""


@dataclass
class Chaos:
    """Strikes, and when what may fail."""

    load: Load
    random: random.Random
    done: list[Strike] = field(default_factory=list)
    doorless: list[tuple[float, float]] = field(default_factory=list)
    """From the end of a front door to the first answer of the next."""
    keeperless: list[tuple[float, float]] = field(default_factory=list)
    """From the end of a keeper until the next is ready and a call was answered: what ends meanwhile is not replaced."""
    losses: list[float] = field(default_factory=list)
    """When a replica was killed or stopped."""

    def __post_init__(self) -> None:
        self._deck: list[str] = []
        self._watching: list[threading.Thread] = []

    @property
    def platform(self) -> Platform:
        return self.load.platform

    def kinds(self) -> dict[str, Callable[[Strike], None]]:
        """Return what may happen, by name."""
        return {
            "replica": lambda strike: self._replica(strike, signal.SIGKILL),
            "replica stopped": lambda strike: self._replica(strike, signal.SIGSTOP),
            "zygote": self._zygote,
            "zygote stopped": lambda strike: self._stop(strike, lambda: self.platform.pid_of("zygote", ECHO)),
            "app": self._app,
            "control": self._control,
            "control stopped": lambda strike: self._stop(strike, lambda: self._pid("control"), self._api_answers),
            "bus": self._bus,
            "bus stopped": lambda strike: self._stop(strike, lambda: self._pid("bus")),
            "envoy": self._door,
            "envoy stopped": lambda strike: self._stop(strike, lambda: self._pid("envoy"), self._call_answered),
            "keeper": lambda strike: self._keeper(strike, ()),
            "keeper stopped": self._keeper_stopped,
            "keeper with control": lambda strike: self._keeper(strike, ("control",)),
            "keeper with bus": lambda strike: self._keeper(strike, ("bus",)),
            "keeper with zygote": lambda strike: self._keeper(strike, (self._name_of_zygote(),)),
            "keeper, killed again as it starts": self._keeper_twice,
            "all at once": self._all,
        }

    def strike(self) -> Strike:
        """Do the next of a shuffled deck that is not worn out yet; return what was done."""
        kinds = self.kinds()

        def drawn() -> str:
            if not self._deck:
                self._deck = sorted(kinds)
                self.random.shuffle(self._deck)
            fresh = [kind for kind in self._deck if self._is_fresh(kind)]
            return fresh[-1] if fresh else ""

        kind = until(drawn, "something may be hit", SLATE_S * 2, every_s=0.5)
        self._deck.remove(kind)
        made = Strike(kind, time.monotonic(), time.time())
        self.done.append(made)
        kinds[kind](made)
        return made

    def finish(self) -> None:
        """Wait until it is known of each strike how long what it hit was away."""
        for thread in self._watching:
            thread.join(LATE_S + 10)

    def excuses(self, call: Call) -> bool:
        """Whether a call that failed may have, by ``PROMISES``."""
        ended = call.sent + call.took_s
        by_door = any(begin <= ended and call.sent <= end for begin, end in self.doorless)
        by_keeper = any(begin <= ended and call.sent <= end for begin, end in self.keeperless)
        lost = sum(call.sent - LOST_WITHIN_S <= moment <= ended for moment in self.losses)
        return (
            (call.status == 0 and by_door)
            or (call.status in (502, 503) and by_keeper)
            or (call.status == 503 and "replica_lost" in call.said and lost >= 2)
        )

    def _is_fresh(self, kind: str) -> bool:
        now = time.monotonic()
        recent = Counter(part for one in self.done if now - one.at < SLATE_S for part in _parts(one.kind))
        return all(recent[part] < BURST.get(part, BURST_MAX) for part in _parts(kind))

    # --- one process ----------------------------------------------------------------------------------------------

    def _pid(self, name: str) -> int:
        return self.platform.pids().get(name, 0)

    def _replicas(self) -> list[int]:
        found = [loads.pid(record) for record in loads.records(self.platform) if loads.is_of(record, "replica", ECHO)]
        return sorted(pid for pid in found if alive(pid))

    def _replica(self, strike: Strike, number: int) -> None:
        living = self._replicas()
        if living and _signal(self.random.choice(living), number):
            self.losses.append(strike.at)
            self._watch(strike, lambda: bool(self.load.pids(strike.at) - set(living)))

    def _zygote(self, strike: Strike) -> None:
        old = self.platform.pid_of("zygote", ECHO)
        if _signal(old):
            self._watch(strike, lambda: self._is_new(self.platform.pid_of("zygote", ECHO), old))

    def _app(self, strike: Strike) -> None:
        old = self.platform.pid_of("run")
        if _signal(old):
            self._watch(strike, lambda: self._is_new(self.platform.pid_of("run"), old))

    def _control(self, strike: Strike) -> None:
        if _signal(self._pid("control")):
            self._watch(strike, self._api_answers)

    def _bus(self, strike: Strike) -> None:
        old = self._pid("bus")
        if _signal(old):
            self._watch(strike, lambda: self._is_new(self._pid("bus"), old))

    def _door(self, strike: Strike) -> None:
        if _signal(self._pid("envoy")):
            self._call_answers_again(strike)
            self.doorless.append((strike.at, time.monotonic()))

    def _stop(self, strike: Strike, find: Callable[[], int], back: Callable[[], bool] | None = None) -> None:
        """Stop a process for a while; what it was asked meanwhile it answers late."""
        pid = find()
        if not _signal(pid, signal.SIGSTOP):
            return
        try:
            time.sleep(self.random.uniform(*STOPPED_S))
        finally:
            _signal(pid, signal.SIGCONT)
        if back is not None:
            self._watch(strike, back)

    # --- the keeper, and all -------------------------------------------------------------------------------------------

    def _name_of_zygote(self) -> str:
        names = [str(r["name"]) for r in loads.records(self.platform) if loads.is_of(r, "zygote", ECHO)]
        return names[0] if names else ""

    def _keeper(self, strike: Strike, also: tuple[str, ...]) -> None:
        made = self.platform
        assert made.process is not None
        for victim in [made.process.pid, *(self._pid(name) for name in also)]:
            _signal(victim)
        made.process.wait(10)
        time.sleep(self.random.uniform(0, 2))
        self._up_again(strike)

    def _keeper_twice(self, strike: Strike) -> None:
        made = self.platform
        assert made.process is not None
        for _ in range(2):
            made.process.kill()
            made.process.wait(10)
            made.begin()
            time.sleep(self.random.uniform(0.3, 3))
        made.process.kill()
        made.process.wait(10)
        self._up_again(strike)

    def _keeper_stopped(self, strike: Strike) -> None:
        assert self.platform.process is not None
        self._stop(strike, lambda: self.platform.process.pid if self.platform.process else 0)
        self._call_answers_again(strike, measured=False)
        self.keeperless.append((strike.at, time.monotonic()))

    def _all(self, strike: Strike) -> None:
        """Kill the keeper and every process of the installation, as a power cut does (but for what the disk holds)."""
        made = self.platform
        assert made.process is not None
        made.process.kill()
        until(lambda: not [pid for pid in self._strays() if _signal(pid)], "all have ended", every_s=0.01)
        made.process.wait(10)
        self._up_again(strike)
        self.doorless.append((strike.at, time.monotonic()))

    def _strays(self) -> tuple[int, ...]:
        return strays.find(strays.home_id(self.platform.home))

    def _up_again(self, strike: Strike) -> None:
        self.platform.up()
        self._call_answers_again(strike)
        self.keeperless.append((strike.at, time.monotonic()))

    # --- what is back, and when ---------------------------------------------------------------------------------------

    def _watch(self, strike: Strike, is_back: Callable[[], bool]) -> None:
        """Note beside all else when it is back."""

        def look() -> None:
            until(is_back, f"what {strike.kind} hit is back", LATE_S)
            strike.back_s = time.monotonic() - strike.at

        thread = threading.Thread(target=look, name=strike.kind, daemon=True)
        thread.start()
        self._watching.append(thread)

    def _call_answers_again(self, strike: Strike, *, measured: bool = True) -> None:
        since = time.monotonic()
        until(lambda: any(call.is_good for call in self.load.since(since)), "a call is answered", LATE_S)
        if measured:
            strike.back_s = time.monotonic() - strike.at

    def _call_answered(self) -> bool:
        return any(call.is_good for call in self.load.last(1.0))

    def _api_answers(self) -> bool:
        with self.platform.client(self.load.token, timeout_s=5) as client:
            try:
                return client.get("/api/v1/me").status_code == 200
            except httpx.TransportError:
                return False

    def _is_new(self, pid: int, old: int) -> bool:
        return pid not in (0, old) and alive(pid)


def _signal(pid: int, number: int = signal.SIGKILL) -> bool:
    """Send a signal to a process that lives; return whether there was one."""
    if not pid or not alive(pid):
        return False
    try:
        kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _parts(kind: str) -> tuple[str, ...]:
    """Return the processes that a kind wears out: those that are started again; what is stopped goes on."""
    if kind == "all at once":
        return ("all", "app")
    if kind.startswith("keeper"):
        return tuple(word for word in ("control", "bus", "zygote") if word in kind)
    return (kind.removesuffix(" stopped"),) if not kind.endswith(" stopped") or "replica" in kind else ()
