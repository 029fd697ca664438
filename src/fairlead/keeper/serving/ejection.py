"""Decides which replicas of a version get hardly any calls: those that take much longer, or fail much more often, than
the others do. Pure; seconds are the monotonic clock's.

Compared is what replicas measure themselves, the time in their queue and in the model's code, never what callers take
to send or to read. An ejected replica keeps a small share of the calls (``gateway.clusters``): by that it is seen to be
well again. Calls that are answered in pieces have no such times and count for nothing here. Figures and why they are
so: docs/architecture/05-keeper.md.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from fairlead.figures import OUTCOMES, Figures, Histogram

LOOK_S = 1.0
"""Between two looks; beats come as often."""
MARK_S = 0.5
"""Between two marks of what a replica had counted: a busy one beats more often."""
WARM_S = 3.0
"""After a replica became ready its calls count for nothing for so long: first ones are slow."""
WINDOW_S = 6.0
"""The calls of so many seconds are compared."""
PROBED_S = 30.0
"""The same for an ejected one, which gets few."""
CALLS_MIN = 8
OTHERS_MIN = 16
PROBES_MIN = 3
TIMES = 3.0
"""So many times as long as the others take is slow; an ejected one is well below ``BACK_TIMES``."""
BACK_TIMES = 2.0
LEAST_S = 0.005
"""A smaller difference is never worth it."""
CHANCE = 4.0
"""Standard deviations by which its calls must rank behind the others': what differs from call to call is no fault."""
HANGS_S, HANGS_TIMES, HANGS_CALLS = 2.0, 10.0, 3
"""So many calls in hand, and none of them ended for so long, in seconds and as a multiple of what the others take."""
FAILS_MIN, FAILS_SHARE, OTHERS_FAIL_SHARE = 5, 0.5, 0.05
AGAIN_S, AGAIN_MAX_S = 30.0, 600.0
"""Without enough calls to tell, an ejected replica is tried again after so long; twice as long each time."""
FORGIVEN_S = 600.0
"""In rotation for so long, what was before is forgotten."""
REPLACED_S, REPLACED_APART_S = 10.0, 60.0
"""Ejected for so long, one that fails all its calls is replaced; two of a version are so long apart."""
_FAILED = OUTCOMES.index("failed")


@dataclass(frozen=True, slots=True)
class Seen:
    """A replica in rotation, as it was lately."""

    replica: str
    calls: Figures
    in_hand: int = 0
    stuck_s: float = 0.0
    ejected: bool = False
    due: bool = False
    """It is ejected for so long that it is tried again."""
    cause: str = ""
    """What it is ejected for: slow, hangs or fails."""
    laden: bool = False
    """It works off the line of before another joined: how long calls wait there is no fault of its own."""


@dataclass(frozen=True, slots=True)
class Eject:
    """Have the replica get hardly any calls."""

    replica: str
    cause: str
    """slow, hangs or fails."""
    why: str
    times: float
    """How much worse than the others it is."""


@dataclass(frozen=True, slots=True)
class Return:
    """Have the replica get its share of calls again."""

    replica: str
    why: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Have another replica take its place: it answers nothing, and the others do."""

    replica: str
    why: str


Step = Eject | Return | Replace


def decide(seen: Sequence[Seen]) -> list[Step]:
    """Return who is to be ejected or to return; at least half of the replicas always get their share.

    Where there is no more room, one that fails is ejected in place of one that is only slow: that one answers.
    """
    inside = [one for one in seen if not one.ejected]
    outside = [one for one in seen if one.ejected]
    back = [Return(one.replica, why) for one in outside if (why := _well(one, inside))]
    known = {step.replica for step in back}
    outside = [one for one in outside if one.replica not in known]
    outside.sort(key=lambda one: (one.cause == "fails", _mean_s(one.calls)))
    room = len(seen) // 2
    over = max(0, len(outside) - room)
    back += [Return(one.replica, "the others are too few") for one in outside[:over]]
    left = room - min(room, len(outside))
    found = [_worse(one, [other for other in inside if other is not one]) for one in inside] if room else []
    worst = sorted((step for step in found if step is not None), key=lambda step: -step.times)
    steps: list[Step] = [*back, *worst[:left]]
    slow = [one for one in outside[over:] if one.cause == "slow" and not _fails(one.calls)]
    failing = [step for step in worst[left:] if step.cause == "fails"]
    for one, step in zip(slow, failing, strict=False):
        steps += [Return(one.replica, f"it is only slow, and {step.replica} fails"), step]
    return steps


def _worse(one: Seen, others: Sequence[Seen]) -> Eject | None:
    """Return why the replica is to be ejected, None where it is not."""
    pooled = sum((other.calls for other in others), Figures())
    if _fails(one.calls):
        well = sum((other.calls for other in others if not _fails(other.calls)), Figures())
        if _ended(well) >= OTHERS_MIN and _failures(well) <= OTHERS_FAIL_SHARE * _ended(well):
            ended, failed = _ended(one.calls), _failures(one.calls)
            why = f"{failed} of its last {ended} calls failed, {_failures(well)} of {_ended(well)} of the others"
            return Eject(one.replica, "fails", why, math.inf)
    if _ended(pooled) < OTHERS_MIN:
        return None
    usual = _usual_s(others)
    if usual is None:
        return None
    if _hangs(one, others, usual):
        why = f"none of its {one.in_hand} calls ended for {one.stuck_s:.1f} s, the others take {_spoken(usual)}"
        return Eject(one.replica, "hangs", why, one.stuck_s / max(usual, LEAST_S))
    mean = _mean_s(one.calls)
    if one.laden or one.calls.compute.count < CALLS_MIN or mean < TIMES * usual or mean - usual < LEAST_S:
        return None
    if max(rank(one.calls.compute, pooled.compute), rank(one.calls.queue, pooled.queue)) < CHANCE:
        return None
    why = f"{_spoken(mean)} a call, the others take {_spoken(usual)}"
    return Eject(one.replica, "slow", why, mean / max(usual, LEAST_S))


def _well(one: Seen, inside: Sequence[Seen]) -> str:
    """Return why an ejected replica may have its share again, nothing where it may not."""
    usual = _usual_s(inside)
    if usual is not None and _hangs(one, inside, usual):
        return ""
    ended = _ended(one.calls)
    if ended < PROBES_MIN or usual is None:
        return "it is tried again" if one.due else ""
    if _failures(one.calls) >= FAILS_SHARE * ended:
        return ""
    mean = _mean_s(one.calls)
    return "it is as quick as the others" if mean <= BACK_TIMES * usual or mean - usual < LEAST_S else ""


def _hangs(one: Seen, others: Sequence[Seen], usual: float) -> bool:
    calls = 1 if one.ejected else HANGS_CALLS
    theirs = statistics.median(other.stuck_s for other in others)
    return one.in_hand >= calls and one.stuck_s >= max(HANGS_S, HANGS_TIMES * usual, TIMES * theirs)


def _usual_s(of: Sequence[Seen]) -> float | None:
    """Return the median of what these replicas take for a call, None where none of them was called."""
    means = [_mean_s(one.calls) for one in of if one.calls.compute.count]
    return statistics.median(means) if means else None


def _mean_s(calls: Figures) -> float:
    return (calls.queue.total + calls.compute.total) / max(1, calls.compute.count)


def _failures(calls: Figures) -> int:
    """Return the calls that ended by the model's fault: callers who send nonsense make no replica bad."""
    return calls.refused[_FAILED] if len(calls.refused) > _FAILED else 0


def _fails(calls: Figures) -> bool:
    failed = _failures(calls)
    return failed >= FAILS_MIN and failed >= FAILS_SHARE * _ended(calls)


def _ended(calls: Figures) -> int:
    return calls.served + _failures(calls)


def _spoken(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def rank(mine: Histogram, others: Histogram) -> float:
    """Return by how many standard deviations ``mine`` ranks above ``others`` (Mann and Whitney, corrected for ties)."""
    size, other_size = mine.count, others.count
    both = size + other_size
    if size <= 0 or other_size <= 0:
        return 0.0
    won, below, ties = 0.0, 0, 0
    for one, other in zip_longest(mine.counts, others.counts, fillvalue=0):
        won += one * (below + other / 2)
        below += other
        ties += (one + other) ** 3 - (one + other)
    variance = size * other_size / 12 * (both + 1 - ties / (both * (both - 1)))
    return (won - size * other_size / 2) / math.sqrt(variance) if variance > 0 else 0.0


@dataclass(slots=True)
class _Course:
    """What one replica said, one mark for each time."""

    since: float
    marks: deque[tuple[float, Figures]] = field(default_factory=deque)
    newest: Figures | None = None
    in_hand: int = 0
    stuck_s: float = 0.0
    why: str = ""
    """Why it is ejected; empty: it is not."""
    cause: str = ""
    since_out: float = 0.0
    due: float = 0.0
    times: int = 0
    """How often it was ejected, until that was forgotten."""
    returned: float = -math.inf
    joined: bool = False
    """Another joined since it was heard."""
    line: int = 0
    """Calls that it had then, and later those that came behind them: while each such line is shorter than the one
    before, it works off what was there. 0: it has, or does not."""
    line_ends: int = 0
    """Calls that will have ended once that line has: they end in the order they came."""

    @property
    def is_laden(self) -> bool:
        return self.joined or self.line > 0

    def lately(self, now: float) -> Figures:
        """Return what was counted within the window."""
        reach = PROBED_S if self.why else WINDOW_S
        while len(self.marks) > 1 and now - self.marks[1][0] >= reach:
            self.marks.popleft()
        return self.newest - self.marks[0][1] if self.marks and self.newest is not None else Figures()

    def take(self, said: Figures, now: float) -> None:
        was_laden, self.newest = self.is_laden, said
        ended = _ended(said)
        if self.joined:
            self.joined, self.line, self.line_ends = False, self.in_hand, ended + self.in_hand
        elif self.line and ended >= self.line_ends:
            self.line, self.line_ends = self.in_hand if self.in_hand < self.line else 0, ended + self.in_hand
        if was_laden and not self.why:
            self.begin_anew(now)  # what it was given since counts from here on
        elif not self.marks or now - self.marks[-1][0] >= MARK_S:
            self.marks.append((now, said))

    def begin_anew(self, now: float) -> None:
        self.marks.clear()
        if self.newest is not None:
            self.marks.append((now, self.newest))

    def eject(self, step: Eject, now: float) -> None:
        self.times = self.times + 1 if now - self.returned < FORGIVEN_S else 1
        self.why, self.due = step.why, now + min(AGAIN_MAX_S, AGAIN_S * 2 ** (self.times - 1))
        self.cause, self.since_out = step.cause, now
        self.begin_anew(now)

    def is_hopeless(self, now: float) -> bool:
        """Whether it failed all its calls since it was ejected, or as often as it was tried."""
        if not self.why or self.cause != "fails" or now - self.since_out < REPLACED_S:
            return False
        calls = self.lately(now)
        if calls.served:
            return False
        return _failures(calls) >= PROBES_MIN or self.times > 1

    def take_back(self, now: float) -> None:
        self.why, self.cause, self.returned = "", "", now
        self.begin_anew(now)


class Ejection:
    """The replicas of one version: how their calls went lately, and which of them get hardly any."""

    def __init__(self) -> None:
        self._courses: dict[str, _Course] = {}
        self._rotation: frozenset[str] = frozenset()
        self._looked = -math.inf
        self._replaced = -math.inf

    @property
    def ejected(self) -> Mapping[str, str]:
        """Why each of the ejected ones is."""
        return {replica: course.why for replica, course in self._courses.items() if course.why}

    def heard(self, replica: str, said: Figures | None, now: float, *, in_hand: int = 0, stuck_s: float = 0.0) -> None:
        """Take what a replica that serves says of its calls since it began."""
        course = self._courses.setdefault(replica, _Course(now))
        course.in_hand, course.stuck_s = in_hand, stuck_s
        if said is not None and now - course.since >= WARM_S:
            course.take(said, now)

    def gone(self, replica: str) -> None:
        """Forget a replica."""
        self._courses.pop(replica, None)

    def look(self, rotation: Collection[str], now: float) -> list[Step]:
        """Return what changes for the replicas in ``rotation``, which is noted; those out of it are taken back.

        One that is to be replaced is told once, and stays ejected until it is gone.
        """
        if not self._rotation.issuperset(rotation):
            for replica in self._courses.keys() & set(rotation):
                self._courses[replica].joined = True
        self._rotation = frozenset(rotation)
        outside = [replica for replica in self.ejected if replica not in rotation]
        if now - self._looked < LOOK_S and not outside:
            return []
        self._looked = now
        for replica in outside:
            self._courses[replica].take_back(now)
        steps: list[Step] = decide(
            [self._seen(replica, now) for replica in sorted(rotation) if replica in self._courses]
        )
        for step in steps:
            course = self._courses[step.replica]
            if isinstance(step, Eject):
                course.eject(step, now)
            else:
                course.take_back(now)
        if now - self._replaced >= REPLACED_APART_S:
            hopeless = [one for one in sorted(self.ejected) if self._courses[one].is_hopeless(now)]
            for replica in hopeless[:1]:
                self._replaced = now
                steps.append(Replace(replica, f"it fails all its calls: {self._courses[replica].why}"))
        return steps

    def _seen(self, replica: str, now: float) -> Seen:
        course = self._courses[replica]
        is_out = bool(course.why)
        due = is_out and now >= course.due
        return Seen(
            replica, course.lately(now), course.in_hand, course.stuck_s, is_out, due, course.cause, course.is_laden
        )
