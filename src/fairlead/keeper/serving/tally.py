"""Decides what a version's figures are: those of its replicas, one after the other, as long as the keeper lives.

A replica that an earlier keeper started begins at what it says first: the counters of a keeper begin at 0, all of them,
which is the one way back that Prometheus understands.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from fairlead.errors import Error
from fairlead.figures import COLD, OUTCOMES, Figures, Histogram, Recent, cost_s, observed, outcome_of, recent

WINDOW_S = 300.0
"""How far back the figures of the last minutes reach, at most."""
EVERY_S = 15.0
"""Between two marks of that window."""
STARTS = 3
"""Starts that tell what the next takes: the first of a version is longer than one from its zygote."""
_CAUSES = (
    ("frozen", "frozen"),
    ("stuck", "stuck"),
    ("stopped by", "stopped"),
    ("not ready after", "not_ready"),
    ("disk_quota", "disk_quota"),
    ("oom", "oom"),
    ("ended by SIGSYS", "sandbox_denied"),
)
_NOTHING = Figures()


@dataclass(slots=True)
class Tally:
    """What was counted of one version."""

    totals: Figures = field(default_factory=Figures)
    cold: Histogram = field(default_factory=Histogram)
    away: Figures = field(default_factory=Figures)
    """Calls that were answered before they came to a replica."""
    restarts: Counter[str] = field(default_factory=Counter)
    """Replicas that were lost, by cause."""
    ejections: Counter[str] = field(default_factory=Counter)
    """By cause."""
    cpu_s: float | None = None
    """Processor time of replicas since they were ready; None before any was looked at."""
    cost_s: float | None = None
    """What a call took lately of a replica; None before the first."""
    _seen: dict[str, Figures] = field(default_factory=dict)
    """By replica: what it said last."""
    _worked: dict[str, float] = field(default_factory=dict)
    """By replica: the processor time that it was seen with last."""
    _starts: deque[float] = field(default_factory=lambda: deque(maxlen=STARTS))
    """What the last starts took."""
    _marks: deque[tuple[float, Figures]] = field(default_factory=deque)

    def heard(self, replica: str, said: Figures | None, *, adopted: bool) -> None:
        """Add what is new in what a replica says."""
        if said is None:
            return
        before = self._seen.get(replica, said if adopted else Figures())
        self._seen[replica] = said
        if said != before:
            new = said - before
            self.totals = self.totals + new
            each_s = cost_s(new)
            if each_s is not None:
                self.cost_s = each_s if self.cost_s is None else (self.cost_s + each_s) / 2

    def worked(self, replica: str, cpu_s: float) -> None:
        """Add the processor time that a replica has used since it was looked at last; before that it was loading."""
        before = self._worked.get(replica, cpu_s)
        self._worked[replica] = cpu_s
        self.cpu_s = (self.cpu_s or 0.0) + max(0.0, cpu_s - before)

    def turned_away(self, error: Error) -> None:
        """Note a call that was answered with ``error`` before it came to a replica."""
        self.away = self.away + Figures(refused=tuple(int(one == outcome_of(error)) for one in OUTCOMES))

    def gone(self, replica: str) -> None:
        """Forget a replica; what it had counted stays."""
        self._seen.pop(replica, None)
        self._worked.pop(replica, None)

    def started(self, seconds: float) -> None:
        """Note that a replica became ready so many seconds after its start."""
        self.cold = observed(self.cold, COLD, seconds)
        self._starts.append(seconds)

    @property
    def start_s(self) -> float | None:
        """What a start takes at least, by the last few; None before the first."""
        return min(self._starts, default=None)

    def lost(self, reason: str) -> None:
        """Note that a replica was lost."""
        self.restarts[cause_of(reason)] += 1

    def ejected(self, cause: str) -> None:
        """Note that a replica was ejected."""
        self.ejections[cause] += 1

    def recent(self, now: float) -> Recent | None:
        """Return the figures of the last minutes, None where nothing was ever called; asked for every second or so."""
        marks = self._marks
        # of most versions nothing was counted: with a thousand that sleep their sums would be a share of a core
        made = _NOTHING if self.totals == _NOTHING == self.away else self.totals + self.away
        if not marks:
            marks.append((now, _NOTHING))
        elif now - marks[-1][0] >= EVERY_S:
            marks.append((now, made))
        while len(marks) > 1 and now - marks[1][0] >= WINDOW_S:
            marks.popleft()
        if not made.served and not made.failed:
            return None
        since, before = marks[0]
        return recent(made - before, round(now - since, 1))


@dataclass(frozen=True, slots=True)
class Counted:
    """One version as its keeper counts it."""

    model: str
    version: str
    tally: Tally
    waiting: int
    """Requests that are held until it is awake."""
    woken: int

    @property
    def labels(self) -> dict[str, str]:
        return {"model": self.model, "version": self.version}


def cause_of(reason: str) -> str:
    """Return one of a few words for why a replica was lost."""
    return next((cause for start, cause in _CAUSES if reason.startswith(start)), "ended")
