"""Apps, schedules and runs (docs/contract.md §8)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from pydantic import Field

from fairlead.api.views.base import View, moment
from fairlead.api.views.devices import StepView, step_views
from fairlead.api.views.models import TargetView, VersionView, version_view
from fairlead.apps import versions as app_versions
from fairlead.schedules.conflicts import Clash, within
from fairlead.schedules.due import Firing
from fairlead.schedules.service import Preview
from fairlead.store.records import App, AppAlias, AppVersion, Event, Run, Schedule

_STEPS = {
    "fetch": "fetching the bundle",
    "environment": "building its environment",
    "inspect": "importing its entry",
}


class AppView(View):
    name: str
    owner: str
    visibility: str
    summary: str
    card: dict[str, Any]
    url: str | None
    """The page of the newest run that is ready; null while there is none."""
    asked: list[str]
    """What the manifest asks for and no configurer granted yet."""
    aliases: dict[str, list[TargetView]]
    versions: list[VersionView]
    devices: dict[str, dict[str, Any]] = {}
    models: dict[str, str] = {}
    params: dict[str, Any] = {}
    page: bool = False


class SpanView(View):
    """From one moment to another, in UTC; ``to`` is null while nobody stops it."""

    start: str | None = Field(serialization_alias="from")
    to: str | None


class WindowView(View):
    days: list[str]
    start: str = Field(serialization_alias="from")
    to: str


class DstView(View):
    gap: str
    overlap: str
    length: str


class ClashView(View):
    """Another schedule that wants the same devices, and from when to when both do."""

    schedule: str
    devices: list[str]
    start: str | None = Field(serialization_alias="from")
    to: str | None


class ScheduleView(View):
    id: str
    name: str
    app: str
    at: str
    zone: str
    cron: str | None
    every_s: float | None
    for_s: float | None
    windows: list[WindowView]
    once: SpanView | None
    start: str | None
    end: str | None
    excepted: list[str] = Field(serialization_alias="except")
    dst: DstView
    overlap: str
    catch_up: str
    paused: str | None
    params: dict[str, Any]
    bind: dict[str, list[str]]
    notify: list[str]
    next_at: str | None
    created_at: str | None
    created_by: str
    removed_at: str | None
    state: str
    """waiting, running, paused, done (no window lies ahead) or removed."""
    conflicts: list[ClashView] = []
    """Only in the answer to the call that made it."""
    warnings: list[str] = []
    """Only there too: what keeps its runs waiting, as it is now."""


class ProblemView(View):
    path: str
    rule: str
    message: str
    hint: str


class FiringView(SpanView):
    skipped: str | None
    note: str | None
    conflicts: list[str] = []
    """Other schedules that want the same devices in this window."""


class PreviewView(View):
    zone: str
    bindings: dict[str, list[str]]
    windows: list[FiringView]
    odd: list[FiringView] = []
    """Later windows that daylight saving changes, within a year."""
    conflicts: list[ClashView]
    warnings: list[str] = []
    problems: list[ProblemView]


class RunView(View):
    id: str
    app: str
    version: str
    schedule: str
    at: str
    status: str
    reason: str | None
    window: SpanView
    bindings: dict[str, list[str]]
    params: dict[str, Any]
    user: str
    restarts: int
    url: str | None
    created_at: str | None
    started_at: str | None
    ready_at: str | None
    finished_at: str | None
    history: list[StepView]
    last_lines: list[str]


def app_view(app: App, versions: Sequence[AppVersion], aliases: Sequence[AppAlias], url: str | None) -> AppView:
    main = _main(versions, aliases)
    manifest = app_versions.manifest_of(main) if main else None
    return AppView(
        name=app.name,
        owner=app.owner,
        visibility=app.visibility,
        summary=app.summary,
        card=app.card,
        url=url,
        asked=[what for what in app.asked if what not in app.granted],
        aliases={alias.alias: [TargetView(version=alias.version, weight=100)] for alias in aliases},
        versions=[app_version_view(version) for version in versions],
        devices={role: msgspec.to_builtins(spec) for role, spec in manifest.devices.items()} if manifest else {},
        models=dict(manifest.models) if manifest else {},
        params=msgspec.to_builtins(manifest.params) if manifest else {},
        page=manifest is not None and manifest.run.web is not None,
    )


def app_version_view(version: AppVersion) -> VersionView:
    return version_view(version, _STEPS.get(version.step, version.step))


def _main(versions: Sequence[AppVersion], aliases: Sequence[AppAlias]) -> AppVersion | None:
    """Return the version that production names, else the newest."""
    named = next((alias.version for alias in aliases if alias.alias == app_versions.PRODUCTION), None)
    return next((one for one in versions if named in (None, one.version)), None)


def schedule_view(
    record: Schedule, state: str, clashes: Sequence[Clash] = (), warnings: Sequence[str] = ()
) -> ScheduleView:
    windows = [WindowView(days=list(one.days), start=one.start, to=one.end) for one in record.windows]
    return ScheduleView(
        id=record.id,
        name=record.name,
        app=record.app,
        at=record.at,
        zone=record.zone,
        cron=record.cron,
        every_s=record.every_s,
        for_s=record.for_s,
        windows=windows,
        once=span(record.once_from, record.once_to) if record.once_from else None,
        start=record.start,
        end=record.end,
        excepted=list(record.excepted),
        dst=DstView(gap=record.dst.gap, overlap=record.dst.overlap, length=record.dst.length),
        overlap=record.overlap,
        catch_up=record.catch_up,
        paused=record.paused,
        params=record.params,
        bind=_lists(record.bind),
        notify=list(record.notify),
        next_at=moment(record.next_at),
        created_at=moment(record.created_at),
        created_by=record.created_by,
        removed_at=moment(record.removed_at),
        state=state,
        conflicts=[_clash(one) for one in clashes],
        warnings=list(warnings),
    )


def span(start: datetime | None, to: datetime | None) -> SpanView:
    return SpanView(start=moment(start), to=moment(to))


def preview_view(preview: Preview) -> PreviewView:
    return PreviewView(
        zone=preview.zone,
        bindings=_lists(preview.bindings),
        windows=[_firing(one, preview.clashes) for one in preview.firings],
        odd=[_firing(one, preview.clashes) for one in preview.odd],
        conflicts=[_clash(one) for one in preview.clashes],
        warnings=list(preview.warnings),
        problems=[
            ProblemView(path=one.path, rule=one.rule, message=one.message, hint=one.hint) for one in preview.problems
        ],
    )


def _firing(firing: Firing, clashes: Sequence[Clash]) -> FiringView:
    return FiringView(
        start=moment(firing.opens),
        to=moment(firing.closes),
        skipped=firing.skipped or None,
        note=firing.note or None,
        conflicts=list(within(clashes, firing)),
    )


def _clash(clash: Clash) -> ClashView:
    return ClashView(
        schedule=clash.schedule, devices=list(clash.devices), start=moment(clash.starts), to=moment(clash.ends)
    )


def run_view(run: Run, schedule: str, url: str | None, history: Sequence[Event] = ()) -> RunView:
    """Return a run; ``schedule`` is the name of its schedule, ``url`` that of its page."""
    return RunView(
        id=run.id,
        app=run.app,
        version=run.version,
        schedule=schedule,
        at=run.place,
        status=run.status.value,
        reason=run.reason or None,
        window=span(run.starts_at, run.ends_at),
        bindings=_lists(run.bindings),
        params=run.params,
        user=run.user,
        restarts=run.restarts,
        url=url,
        created_at=moment(run.created_at),
        started_at=moment(run.started_at),
        ready_at=moment(run.ready_at),
        finished_at=moment(run.finished_at),
        history=step_views(history),
        last_lines=list(run.last_lines),
    )


def _lists(roles: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {role: list(devices) for role, devices in roles.items()}
