"""The installation as a whole: health, limits, state, and what happens in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check
from fairlead.api.deps import TheHouse, Who
from fairlead.api.params import AfterRow
from fairlead.api.routers.devices import mqtt_url
from fairlead.api.stream import event, sse
from fairlead.api.views.base import Page, page
from fairlead.api.views.journal import event_view
from fairlead.api.views.system import (
    HealthView,
    IsolationView,
    PendingView,
    ReplicaUseView,
    StatusView,
    SystemView,
    node_views,
    process_views,
    replica_use_views,
)
from fairlead.bundles import names
from fairlead.bundles.limits import Limits
from fairlead.control import bucketlook, condition
from fairlead.control.house import House
from fairlead.errors import Error, Unavailable
from fairlead.keeper.serving.warmth import budget_mb
from fairlead.models import queries
from fairlead.sandbox.level import isolation
from fairlead.schedules.sight import seen_events
from fairlead.store import journal
from fairlead.store.lookup import check_limit
from fairlead.store.records import Event
from fairlead.supervisor import proc

health = APIRouter(tags=["health"])
router = APIRouter(tags=["system"])
FOLLOW_S = 0.5
OPEN_KINDS = ("device", "command", "run", "schedule", "location", "type")
"""What everybody signed in may see happen; all the rest takes the audit."""


@health.get("/healthz")
async def alive() -> HealthView:
    """Answer: the process is there."""
    return HealthView(status="ok")


@health.get("/readyz")
async def ready(house: TheHouse) -> HealthView:
    """Answer 200 when the database can be read and all loops run, else 503 with what is wrong."""
    troubles = house.troubles()
    try:
        await house.database.read(lambda session: session.execute(text("SELECT 1")).scalar_one())
    except Error as error:
        troubles = (*troubles, error.message)
    if troubles:
        raise Unavailable("; ".join(troubles), code="not_ready", hint="fairlead logs control", retry_after_s=1)
    return HealthView(status="ready")


@router.get("/pending")
async def pending(house: TheHouse, who: Who) -> PendingView:
    """Return why front doors do not yet do all that was decided; nothing once they do. Waits up to three seconds."""
    return PendingView(pending=await house.reconcile.in_force() or None)


@router.get("/system")
async def system(house: TheHouse, who: Who) -> SystemView:
    """Return what this installation is and how strongly it isolates bundles here."""
    found = await asyncio.to_thread(isolation)
    settings, reports = house.settings, house.nodes.alive()
    return SystemView(
        version=house.version,
        node=settings.node,
        url=settings.url,
        mqtt=mqtt_url(settings),
        apps_domain=settings.apps_domain,
        isolation=IsolationView(level=found.level.value, holds=list(found.holds), missing=list(found.missing)),
        limits={
            "bundle_max_bytes": settings.bundle_max_bytes,
            **_archives(),
            "body_max_bytes": settings.body_max_bytes,
            "user_per_s": settings.user_per_s,
            "token_per_s": settings.token_per_s,
            "user_calls_per_day": settings.user_calls_per_day,
            "user_stored_mb": settings.user_stored_mb,
            "scratch_mb": settings.scratch_mb,
            "zygote_memory_mb": int(budget_mb(settings.zygote_memory_mb, proc.machine_memory_mb())),
            "token_days": settings.token_days,
            "keep_days": settings.keep_days,
            "history_days": settings.history_days,
        },
        processes={one.name: one.status for report in reports for one in report.programs},
        nodes=node_views(reports),
    )


def _archives() -> dict[str, int]:
    """Return what an archive may hold, beside ``bundle_max_bytes``."""
    limits = Limits()
    return {
        "bundle_entries": limits.entries,
        "bundle_ratio": int(limits.ratio),
        "bundle_depth": limits.depth,
        "bundle_path_bytes": limits.path_bytes,
        "bundle_name_bytes": names.PART_BYTES,
    }


@router.get("/status")
async def status(house: TheHouse, who: Who) -> StatusView:
    """Return what runs, what is wrong, and how much there is."""
    reports, alive_now = house.nodes.reports(), house.nodes.alive()

    def read(session: Session) -> tuple[condition.Counts, set[str], tuple[str, ...]]:
        models = {model.name for model in queries.list_all(session, who)}
        return condition.counts(session, who), models, condition.alerts(session, models)

    found, models, alerts = await house.database.read(read)
    troubles = (
        *condition.keeper(house.home),
        *await bucketlook.trouble(house.bucket, house.settings.bucket),
        *house.troubles(),
        *house.reconcile.troubles(models),
        *condition.troubles(reports, alive_now, models),
        *alerts,
    )
    operates = who.may(Verb.OPERATE)
    return StatusView(
        state="degraded" if troubles else "ok",
        home=str(house.settings.home) if operates else None,
        troubles=list(condition.shown(troubles, house.home, operates=operates)),
        processes=process_views(reports, operates=operates),
        models=found.models,
        runs=found.runs,
        jobs=found.jobs,
        devices=found.devices,
    )


@router.get("/replicas")
async def replicas(house: TheHouse, who: Who, limit: int = 100) -> Page[ReplicaUseView]:
    """Return the processes of the models that one may see, those that hold most memory first."""
    check_limit(limit)
    models = await house.database.read(lambda session: {model.name for model in queries.list_all(session, who)})
    return page(replica_use_views(house.nodes.alive(), models, limit))


@router.get("/events")
async def follow(house: TheHouse, who: Who, kind: str | None = None, after: AfterRow = None) -> StreamingResponse:
    """Stream the journal from now on, or after the event with id ``after``; ``kind`` narrows it.

    Of runs, schedules and commands only those of apps that the caller may see.
    """
    if kind is not None and kind not in OPEN_KINDS:
        check(who, Verb.SEE_AUDIT)
    return sse(house, who, _events(house, who, kind, after))


async def _events(house: House, who: Caller, kind: str | None, after: int | None) -> AsyncIterator[bytes]:
    if after is None:
        newest = await house.database.read(lambda session: journal.following(session, None))
        after = newest[0].id if newest else 0
    while not house.closing.is_set():
        found, seen = await house.database.read(_following(who, after))
        after = found[-1].id if found else after
        for one in seen:
            if (kind is None or one.kind == kind) and (one.kind in OPEN_KINDS or who.may(Verb.SEE_AUDIT)):
                yield event(one.kind, event_view(one).model_dump(by_alias=True))
        if not found:
            await asyncio.sleep(FOLLOW_S)


def _following(who: Caller, after: int) -> Callable[[Session], tuple[list[Event], list[Event]]]:
    """Return what reads the next events, and those of them that the caller may see."""

    def read(session: Session) -> tuple[list[Event], list[Event]]:
        found = journal.following(session, after)
        return found, seen_events(session, who, found)

    return read
