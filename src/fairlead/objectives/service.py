"""What was promised of models, how it stands, and which alerts fire. Takes a session and the moment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check, check_owner
from fairlead.bundles.manifest import ModelManifest
from fairlead.bundles.promised import PERCENT_MAX
from fairlead.errors import Invalid, NotFound, Problem
from fairlead.figures import counted_ms
from fairlead.jobs import callbacks
from fairlead.jobs.addresses import Allowed
from fairlead.models import queries
from fairlead.models.queries import manifest_of
from fairlead.objectives import slices
from fairlead.objectives.burn import PERIOD, RULES, SLICES, Alert, Burn, Objective, Rule, Sli, Told, burn, holds, step
from fairlead.objectives.slices import Asked
from fairlead.store.move import note
from fairlead.store.records import Alias, Model, ModelVersion, SloAlert, SloSlice, SloTarget

MAILS_MAX = 10
IsAddress = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one objective of a model stands."""

    model: str
    objective: Objective
    burns: Mapping[str, Burn]
    """By window."""
    alerts: Sequence[SloAlert]
    """Those that fire, and those that did last."""

    @property
    def period(self) -> Burn:
        return self.burns[PERIOD]


@dataclass(frozen=True, slots=True)
class Change:
    """An alert that began or ended to fire."""

    standing: Standing
    rule: Rule
    told: Told
    since: datetime


def objectives_of(manifest: ModelManifest) -> tuple[Objective, ...]:
    """Return what a manifest promises."""
    slo = manifest.slo
    if slo is None:
        return ()
    made = []
    if slo.availability is not None:
        said = f"{slo.availability:g} % of requests are answered without a failure of ours"
        made.append(Objective(Sli.AVAILABILITY, _share(slo.availability), said))
    if slo.latency_ms is not None:
        said = f"{slo.percentile:g} % of answers take less than {counted_ms(slo.latency_ms):g} ms"
        made.append(Objective(Sli.LATENCY, _share(slo.percentile), said))
    limit_s = slices.in_time_s(manifest)
    said = f"{slo.percentile:g} % of jobs succeed by their deadline, or within {limit_s:g} s"
    made.append(Objective(Sli.JOBS, _share(slo.percentile), said))
    return tuple(made)


def _share(percent: float) -> float:
    return min(round(percent / 100, 12), PERCENT_MAX / 100)  # of a version pushed before there was a limit


def promised(session: Session, models: Collection[str] | None = None) -> dict[str, ModelManifest]:
    """Return the manifests that hold for models (None: all) that promise something: those of ``production``."""
    query = select(Alias.model, Alias.targets).join(Model, Model.name == Alias.model)
    query = query.where(Alias.alias == queries.PRODUCTION, Model.removed_at.is_(None))
    versions = select(ModelVersion).where(ModelVersion.manifest.not_like('%"slo":null%'))  # most promise nothing
    if models is not None:
        query, versions = query.where(Alias.model.in_(models)), versions.where(ModelVersion.model.in_(models))
    mains = {
        (model, max(targets, key=lambda target: target.weight).version)
        for model, targets in session.execute(query)
        if targets
    }
    rows = session.scalars(versions.order_by(ModelVersion.model))
    found = {row.model: manifest_of(row) for row in rows if (row.model, row.version) in mains}
    return {model: manifest for model, manifest in found.items() if manifest.slo is not None}


def of_model(session: Session, caller: Caller, name: str) -> ModelManifest:
    """Return the manifest that holds for a model's objectives; raises :class:`NotFound`, also without any."""
    queries.get(session, caller, name)
    found = promised(session, [name])
    if name not in found:
        raise NotFound(
            f"nothing is promised of {name}",
            code="no_objective",
            hint="say it in its manifest and push it: [slo] latency_ms = 250, availability = 99.9",
        )
    return found[name]


def of_all(session: Session, caller: Caller, *, after: str = "", limit: int) -> dict[str, ModelManifest]:
    """Return the manifests of models that promise something and that the caller may see, by name."""
    names = [model.name for model in queries.list_all(session, caller) if model.name > after]
    found = promised(session) if names else {}
    return {name: found[name] for name in [name for name in names if name in found][:limit]}


def standings(
    session: Session, model: str, manifest: ModelManifest, now: datetime, slice_s: int
) -> tuple[Standing, ...]:
    """Return how each objective of a model stands; that of jobs only where there were any."""
    alerts = session.scalars(select(SloAlert).where(SloAlert.model == model)).all()
    made = []
    for objective in objectives_of(manifest):
        counts = slices.windows(session, Asked(model, objective), now, slice_s)
        own = [alert for alert in alerts if alert.sli == objective.sli.value]
        if objective.sli is Sli.JOBS and not counts[PERIOD].valid and not own:
            continue
        burns = {window: burn(window, counts[window], objective, slice_s) for window in SLICES}
        made.append(Standing(model, objective, burns, own))
    return tuple(made)


def judge(session: Session, standing: Standing, now: datetime, slice_s: int) -> list[Change]:
    """Bring the alerts of an objective into the records; returns those that began or ended to fire."""
    changes = []
    for rule in RULES:
        key = (standing.model, standing.objective.sli.value, rule.name)
        row = session.get(SloAlert, key)
        fires = row is not None and row.resolved_at is None
        before = _alert(row) if row is not None and fires else None
        is_bad = holds(rule, standing.burns, standing.objective)
        after, told = step(before, is_bad, now.timestamp(), slice_s)
        if after == before:
            continue
        if row is None:
            row = SloAlert(model=key[0], sli=key[1], name=key[2], since=now)
            session.add(row)
        since = row.since
        if after is None:
            row.calm_since, row.resolved_at = None, now
        else:
            since = row.since = datetime.fromtimestamp(after.since, UTC) if fires else now
            row.calm_since = datetime.fromtimestamp(after.calm_since, UTC) if after.calm_since is not None else None
            row.resolved_at = None
        if told:
            note(session, "model", standing.model, _said(standing, rule, told), now)
            changes.append(Change(standing, rule, told, since))
    session.flush()
    return changes


def _alert(row: SloAlert) -> Alert:
    return Alert(row.since.timestamp(), row.calm_since.timestamp() if row.calm_since is not None else None)


def _said(standing: Standing, rule: Rule, told: Told) -> str:
    long, short = standing.burns[rule.long], standing.burns[rule.short]
    return (
        f"objective {standing.objective.sli}: the alert {rule.name} {'fires' if told is Told.FIRING else 'is over'}; "
        f"the error budget burns {long.rate:.3g} times too fast over {rule.long} and {short.rate:.3g} over {rule.short}"
    )


# --- who is told ------------------------------------------------------------------------------------------------------


def target_of(session: Session, model: str) -> SloTarget | None:
    """Return who is told of a model's alerts; None: nobody."""
    return session.get(SloTarget, model)


@dataclass(frozen=True, slots=True)
class Wish:
    """Who shall be told; None: as before."""

    mail: Sequence[str] | None = None
    webhook: str | None = None


def tell(
    session: Session, caller: Caller, name: str, wish: Wish, now: datetime, allowed: Allowed, is_address: IsAddress
) -> SloTarget:
    """Set who is told of a model's alerts; what is sent to the webhook is signed with the caller's secret."""
    model = queries.get(session, caller, name)
    check(caller, Verb.MANAGE_MODELS)
    check_owner(caller, model.owner, f"the model {name}")
    mail = tuple(dict.fromkeys(wish.mail)) if wish.mail is not None else None
    wrong = [address for address in mail or () if not is_address(address)]
    problems = tuple(Problem("mail", "mail", f"{address[:80]!r} is no mail address") for address in wrong)
    if mail is not None and len(mail) > MAILS_MAX:
        problems += (Problem("mail", "max", f"{len(mail)} addresses are more than {MAILS_MAX}"),)
    if problems:
        raise Invalid(f"mail: {problems[0].message}", code="mail_invalid", hint="ada@example.org", problems=problems)
    if wish.webhook:
        callbacks.accept(session, caller, wish.webhook, allowed)
    target = session.get(SloTarget, name)
    if target is None:
        target = SloTarget(model=name, set_by=caller.name, set_at=now)
        session.add(target)
    target.mail = target.mail if mail is None else mail
    if wish.webhook is not None:
        target.webhook, target.set_by = wish.webhook, caller.name
    target.set_at = now
    said = f"alerts of objectives are told to {', '.join(filter(None, (*target.mail, target.webhook))) or 'nobody'}"
    note(session, "model", name, said, now, by=caller.name)
    session.flush()
    return target


def call(session: Session, target: SloTarget, body: Mapping[str, object], now: datetime) -> None:
    """Have ``body`` sent to the webhook; in the same transaction."""
    callbacks.put_of_model(session, target.model, target.webhook, target.set_by, body, now)


def forget(session: Session, now: datetime, keep: timedelta) -> int:
    """Remove what is kept of models that are gone, alerts long over and slices before the longest window."""
    gone = select(Model.name).where(Model.removed_at.is_not(None))
    for kind in (SloTarget, SloAlert, SloSlice):
        session.execute(delete(kind).where(kind.model.in_(gone)))
    session.execute(delete(SloAlert).where(SloAlert.resolved_at < now - keep))
    callbacks.forget_told(session, now - keep)
    return slices.forget(session, now)
