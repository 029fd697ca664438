"""What is told of an alert: a letter, and the body of a webhook. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fairlead.apps.letters import Letter
from fairlead.clock import to_text
from fairlead.objectives.burn import Told, attainment, budget_left, threshold
from fairlead.objectives.service import Change

_WORDS = {Told.FIRING: "fires", Told.RESOLVED: "is over"}


def letter(change: Change, to: Sequence[str], url: str) -> Letter:
    """Return the letter; ``url``: that of the installation."""
    standing, rule = change.standing, change.rule
    long, short = standing.burns[rule.long], standing.burns[rule.short]
    what = f"{standing.model}: {standing.objective.sli} alert {rule.name} ({rule.severity}) {_WORDS[change.told]}"
    found = attainment(standing.period)
    since = to_text(change.since.replace(microsecond=0))
    lines = [
        f"Promised: {standing.objective.said}.",
        f"The error budget burns {long.rate:.3g} times too fast over {rule.long} and {short.rate:.3g} times over "
        f"{rule.short}; the alert fires from {threshold(rule, standing.objective):.3g} on.",
        f"Over {rule.long}: {long.bad} of {long.valid} were bad.",
        f"Over 30 days: {'-' if found is None else f'{found:.3%}'} good, {budget_left(standing.period):.1%} of the "
        "error budget left.",
        f"It {'fires' if change.told is Told.FIRING else 'fired'} since {since}.",
        f"Look: fairlead slo {standing.model}, or {url}/api/v1/models/{standing.model}/slo",
    ]
    return Letter(tuple(to), what, "\n".join(lines) + "\n")


def body(change: Change, now: datetime) -> dict[str, object]:
    """Return the body of a webhook, in the shape of those of jobs."""
    standing, rule = change.standing, change.rule
    return {
        "type": f"slo.{change.told}",
        "timestamp": to_text(now),
        "data": {
            "model": standing.model,
            "objective": standing.objective.sli.value,
            "said": standing.objective.said,
            "target": standing.objective.target,
            "alert": rule.name,
            "severity": rule.severity,
            "since": to_text(change.since),
            "burn_rates": {window: round(standing.burns[window].rate, 3) for window in (rule.long, rule.short)},
            "threshold": round(threshold(rule, standing.objective), 3),
            "budget_left": round(budget_left(standing.period), 6),
            "links": {"self": f"/api/v1/models/{standing.model}/slo"},
        },
    }
