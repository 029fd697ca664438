"""Schedules and their windows (docs/contract.md §8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from fairlead.api.views.base import View, moment
from fairlead.api.views.runs import SpanView, lists, span
from fairlead.schedules.ahead import Ahead
from fairlead.schedules.conflicts import Clash, within
from fairlead.schedules.due import Firing
from fairlead.schedules.service import Preview
from fairlead.store.records import Schedule


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


class AheadView(View):
    """A window of a schedule that is there."""

    schedule: str
    app: str
    at: str
    zone: str
    start: str | None = Field(serialization_alias="from")
    to: str | None
    skipped: str | None
    note: str | None
    paused: str | None
    """Why its schedule opens no window now."""


class AheadsView(View):
    items: list[AheadView]
    cut: list[str]
    """Schedules of which more windows lie in this time than are told."""


class PreviewView(View):
    zone: str
    bindings: dict[str, list[str]]
    windows: list[FiringView]
    odd: list[FiringView] = []
    """Later windows that daylight saving changes, within a year."""
    conflicts: list[ClashView]
    warnings: list[str] = []
    problems: list[ProblemView]


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
        bind=lists(record.bind),
        notify=list(record.notify),
        next_at=moment(record.next_at),
        created_at=moment(record.created_at),
        created_by=record.created_by,
        removed_at=moment(record.removed_at),
        state=state,
        conflicts=[_clash(one) for one in clashes],
        warnings=list(warnings),
    )


def preview_view(preview: Preview) -> PreviewView:
    return PreviewView(
        zone=preview.zone,
        bindings=lists(preview.bindings),
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


def aheads_view(ahead: Ahead) -> AheadsView:
    items = [
        AheadView(
            schedule=record.name,
            app=record.app,
            at=record.at,
            zone=record.zone,
            start=moment(firing.opens),
            to=moment(firing.closes),
            skipped=firing.skipped or None,
            note=firing.note or None,
            paused=record.paused,
        )
        for record, firing in ahead.windows
    ]
    return AheadsView(items=items, cut=list(ahead.cut))


def _clash(clash: Clash) -> ClashView:
    return ClashView(
        schedule=clash.schedule, devices=list(clash.devices), start=moment(clash.starts), to=moment(clash.ends)
    )
