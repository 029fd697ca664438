"""Objectives of models: how they stand, as other programs read them, and who is told of alerts."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.orm import Session

from fairlead.api.deps import TheHouse, Who
from fairlead.api.views.base import Body, Page, Refusal, page
from fairlead.api.views.objectives import PromisedView, SloTellView, SloView, promised_view, slo_view, tell_view
from fairlead.errors import Invalid, NotFound
from fairlead.ids import is_mail_address
from fairlead.models import queries
from fairlead.objectives import export, service, slices
from fairlead.store.lookup import check_limit

router = APIRouter(tags=["models"])
_EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "the objectives", "content": {"application/yaml": {}}},
    "default": {"model": Refusal, "description": "refused", "content": {"application/json": {}}},
}
LIST_MAX = 100
"""Models of a list: the windows of each are summed for it."""
VERSIONS = "3d"
"""Window of what is shown of each version: older slices are hours."""


class TellBody(Body):
    mail: list[str] | None = None
    webhook: str | None = None
    """Empty: none any more."""


@router.get("/objectives")
async def list_objectives(house: TheHouse, who: Who, after: str = "", limit: int = 50) -> Page[PromisedView]:
    """Return how the objectives of all models stand that one may see, by name; ``next`` is passed as ``after``."""
    check_limit(limit, LIST_MAX)
    now, slice_s = house.clock.now(), house.objectives.slice_s

    def read(session: Session) -> list[PromisedView]:
        found = service.of_all(session, who, after=after, limit=limit)
        return [
            promised_view(name, service.standings(session, name, manifest, now, slice_s))
            for name, manifest in found.items()
        ]

    views = await house.database.read(read)
    return page(views, views[-1].model if len(views) == limit else None)


@router.get("/models/{name}/slo")
async def show(name: str, house: TheHouse, who: Who) -> SloView:
    """Return how the objectives of a model stand; 404 ``no_objective`` where nothing is promised of it."""
    now, slice_s = house.clock.now(), house.objectives.slice_s

    def read(session: Session) -> SloView:
        manifest = service.of_model(session, who, name)
        return slo_view(
            name,
            service.standings(session, name, manifest, now, slice_s),
            slices.by_version(session, name, now, VERSIONS, slice_s),
            tell_view(service.target_of(session, name)) if who.owns(queries.get(session, who, name).owner) else None,
            slice_s,
        )

    return await house.database.read(read)


@router.get("/models/{name}/slo/{form}", response_class=Response, responses=_EXPORTED)
async def exported(name: str, form: str, house: TheHouse, who: Who) -> Response:
    """Return the objectives as YAML: ``openslo`` (OpenSLO v1) or ``prometheus`` (rules over ``/metrics``)."""
    if form not in export.FORMS:
        raise NotFound(f"objectives are not exported as {form}", code="no_such_path", hint=" or ".join(export.FORMS))
    now, slice_s = house.clock.now(), house.objectives.slice_s

    def read(session: Session) -> str:
        manifest = service.of_model(session, who, name)
        found = service.standings(session, name, manifest, now, slice_s)
        periods = {one.objective.sli.value: one.period for one in found}
        return export.export(form, name, service.objectives_of(manifest), periods)

    return Response(await house.database.read(read), media_type="application/yaml")


@router.put("/models/{name}/slo/alerts")
async def tell(name: str, body: TellBody, house: TheHouse, who: Who) -> SloTellView:
    """Set who is told of a model's alerts, by mail and at a webhook; what is not said stays as it is."""
    if body.mail is None and body.webhook is None:
        raise Invalid("nothing to change", code="nothing_to_change", hint="send mail, webhook or both")
    now, wish = house.clock.now(), service.Wish(body.mail, body.webhook)
    return await house.database.write(
        lambda session: tell_view(service.tell(session, who, name, wish, now, house.callback_hosts, is_mail_address))
    )
