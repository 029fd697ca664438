"""Objectives of a model as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairlead.api.views.base import View, moment
from fairlead.objectives.burn import RULES, Burn, Counts, attainment, budget_left, threshold
from fairlead.objectives.service import Standing
from fairlead.store.records import SloTarget


class WindowView(View):
    window: str
    valid: int
    """Requests or jobs that count."""
    bad: int
    by: str
    """requests, or slices where there were few: what the burn rate is of."""
    burn_rate: float
    """How many times too fast the error budget is used; 1 uses it up in 30 days."""


class SloAlertView(View):
    name: str
    """fast, medium or slow."""
    severity: str
    """page or ticket."""
    windows: list[str]
    """It fires when both burn too fast."""
    threshold: float
    firing: bool
    since: str | None
    resolved_at: str | None


class ObjectiveView(View):
    objective: str
    """availability, latency or jobs."""
    said: str
    target: float
    """Share that shall be good."""
    attainment: float | None
    """Share of the last 30 days that was good; null: there was nothing."""
    budget_left: float
    """Share of the error budget of 30 days; below 0: more was used than there was."""
    windows: list[WindowView]
    alerts: list[SloAlertView]


class VersionCountView(View):
    version: str
    objective: str
    valid: int
    bad: int


class SloTellView(View):
    mail: list[str]
    webhook: str | None
    set_by: str | None
    """Whose secret signs what is sent to the webhook."""


class SloView(View):
    model: str
    slice_s: int
    """Length of a slice."""
    objectives: list[ObjectiveView]
    versions: list[VersionCountView]
    """What was counted of each version in the last three days."""
    tell: SloTellView | None
    """Who is told of alerts; null for who may not change it."""


class PromisedView(View):
    """What is promised of a model, as lists show it."""

    model: str
    objectives: list[ObjectiveView]


def promised_view(model: str, standings: Sequence[Standing]) -> PromisedView:
    return PromisedView(model=model, objectives=[_objective(one) for one in standings])


def slo_view(
    model: str,
    standings: Sequence[Standing],
    versions: Mapping[tuple[str, str], Counts],
    tell: SloTellView | None,
    slice_s: int,
) -> SloView:
    """Return the view of a model."""
    return SloView(
        model=model,
        slice_s=slice_s,
        objectives=[_objective(one) for one in standings],
        versions=[
            VersionCountView(version=version, objective=sli, valid=max(found.valid, found.bad), bad=found.bad)
            for (version, sli), found in versions.items()
        ],
        tell=tell,
    )


def tell_view(target: SloTarget | None) -> SloTellView:
    if target is None:
        return SloTellView(mail=[], webhook=None, set_by=None)
    return SloTellView(mail=list(target.mail), webhook=target.webhook or None, set_by=target.set_by)


def _objective(one: Standing) -> ObjectiveView:
    found = attainment(one.period)
    return ObjectiveView(
        objective=one.objective.sli.value,
        said=one.objective.said,
        target=one.objective.target,
        attainment=None if found is None else round(found, 6),
        budget_left=round(budget_left(one.period), 6),
        windows=[_window(window) for window in one.burns.values()],
        alerts=_alerts(one),
    )


def _window(one: Burn) -> WindowView:
    return WindowView(window=one.window, valid=one.valid, bad=one.bad, by=one.by, burn_rate=round(one.rate, 3))


def _alerts(one: Standing) -> list[SloAlertView]:
    rows = {row.name: row for row in one.alerts}
    views = []
    for rule in RULES:
        row = rows.get(rule.name)
        views.append(
            SloAlertView(
                name=rule.name,
                severity=rule.severity,
                windows=[rule.long, rule.short],
                threshold=round(threshold(rule, one.objective), 3),
                firing=row is not None and row.resolved_at is None,
                since=moment(row.since) if row is not None else None,
                resolved_at=moment(row.resolved_at) if row is not None else None,
            )
        )
    return views
