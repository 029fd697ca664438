"""Apps and runs (docs/contract.md §8)."""

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
from fairlead.store.records import App, AppAlias, AppVersion, Event, Run

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


class ReadmeView(View):
    version: str
    text: str
    """Markdown, as the bundle has it; whoever shows it must not trust it."""


class EntryView(View):
    url: str
    """Where the run's page is opened as who asked: good for one use within a minute."""


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


def span(start: datetime | None, to: datetime | None) -> SpanView:
    return SpanView(start=moment(start), to=moment(to))


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
        bindings=lists(run.bindings),
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


def lists(roles: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {role: list(devices) for role, devices in roles.items()}
