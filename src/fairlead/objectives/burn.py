"""Decides how an objective stands: attainment, error budget, burn rates, and which alerts fire. Pure.

Windows and factors are those of the SRE workbook, chapter 5, "6: Multiwindow, Multi-Burn-Rate Alerts". Where there is
little traffic a ratio of requests says little (one of one has failed: the whole budget): there slices of a minute
count instead, as OpenSLO's ``budgetingMethod: Timeslices`` does: https://github.com/OpenSLO/OpenSLO.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

SLICES: Mapping[str, int] = {"5m": 5, "30m": 30, "1h": 60, "6h": 360, "3d": 4320, "30d": 43_200}
"""Windows, in slices: a slice is a minute, unless the installation says that an hour is shorter."""
PERIOD = "30d"
"""The window that the error budget is for."""
LOW_PER_S = 1.0
"""With fewer requests a second than this, slices count and not requests."""
LEAST_BAD = 2
"""A single failed request is nothing to tell anybody of."""
MOST_SHARE = 0.5
"""An alert never waits for more than half of the requests to be bad: of an objective of 90 %, 14.4 times the budget
would be more than all."""
CALM_SLICES = 5
"""An alert is over when it has not fired for so many slices."""


class Sli(StrEnum):
    """What is measured; closed."""

    AVAILABILITY = "availability"
    """Requests that are answered without a failure of ours."""
    LATENCY = "latency"
    """Answered requests that took less than ``latency_ms``."""
    JOBS = "jobs"
    """Jobs that succeeded in time."""


class Objective(msgspec.Struct, frozen=True):
    """What was promised."""

    sli: Sli
    target: float
    """Share that shall be good, within 0 and 1."""
    said: str = ""
    """In words."""

    @property
    def budget(self) -> float:
        """Share that may be bad."""
        return round(1.0 - self.target, 12)  # 1 - 0.9 is a little less than a tenth, and one of ten is allowed


class Counts(NamedTuple):
    """What was counted within a window."""

    valid: int = 0
    bad: int = 0
    bad_slices: int = 0
    """Slices in which more was bad than the objective allows."""


class Burn(msgspec.Struct, frozen=True):
    """A window of an objective."""

    window: str
    valid: int
    bad: int
    by: str
    """requests or slices: what the share is of."""
    share: float
    """Of it that is bad."""
    rate: float
    """How many times faster than allowed the budget is used: 1 uses it up in exactly its period."""


class Rule(NamedTuple):
    """When an alert fires: the budget burns so many times too fast over both windows."""

    name: str
    factor: float
    long: str
    short: str
    severity: str
    """page: somebody must look now; ticket: within days."""


RULES = (
    Rule("fast", 14.4, "1h", "5m", "page"),
    Rule("medium", 6.0, "6h", "30m", "page"),
    Rule("slow", 1.0, "3d", "6h", "ticket"),
)


class Alert(msgspec.Struct, frozen=True):
    """An alert that fires."""

    since: float
    """Unix seconds."""
    calm_since: float | None = None
    """Since when its condition does not hold any more; None: it holds."""


class Told(StrEnum):
    """What is told of an alert; closed."""

    NOTHING = ""
    FIRING = "firing"
    RESOLVED = "resolved"


def burn(window: str, found: Counts, objective: Objective, slice_s: float = 60.0) -> Burn:
    """Return how a window stands."""
    valid = max(found.valid, found.bad)  # durations are counted up to a second after the answers
    slices = SLICES[window]
    if valid < slices * slice_s * LOW_PER_S:
        by, share = "slices", min(1.0, found.bad_slices / slices)
    else:
        by, share = "requests", found.bad / valid
    return Burn(window, valid, found.bad, by, share, share / objective.budget)


def threshold(rule: Rule, objective: Objective) -> float:
    """Return the burn rate from which on a rule holds."""
    return min(rule.factor, MOST_SHARE / objective.budget)


def holds(rule: Rule, burns: Mapping[str, Burn], objective: Objective) -> bool:
    """Whether the budget burns too fast over both windows."""
    least, long = threshold(rule, objective), burns[rule.long]
    return long.bad >= LEAST_BAD and long.rate >= least and burns[rule.short].rate >= least


def step(alert: Alert | None, is_bad: bool, now: float, slice_s: float = 60.0) -> tuple[Alert | None, Told]:
    """Return what becomes of an alert, and what is told of it: once when it fires, once when it is over."""
    if is_bad:
        if alert is None:
            return Alert(now), Told.FIRING
        return Alert(alert.since), Told.NOTHING
    if alert is None:
        return None, Told.NOTHING
    if alert.calm_since is None or now < alert.calm_since:  # a clock that was put back begins anew
        return Alert(alert.since, now), Told.NOTHING
    if now - alert.calm_since >= CALM_SLICES * slice_s:
        return None, Told.RESOLVED
    return alert, Told.NOTHING


def attainment(period: Burn) -> float | None:
    """Return the share of requests that was good; None: there were none."""
    return 1.0 - period.bad / period.valid if period.valid else None


def budget_left(period: Burn) -> float:
    """Return the share of the error budget that is left; below 0: more was used than there was."""
    return 1.0 - period.rate
