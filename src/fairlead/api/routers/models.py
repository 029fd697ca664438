"""Models: listed, shown, aliased, rolled back, retired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import Field
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller
from fairlead.api.deps import TheHouse, Who
from fairlead.api.stream import follow, sse
from fairlead.api.views.base import Body, Page, Refusal, page
from fairlead.api.views.cards import CardView, card_view
from fairlead.api.views.modelrows import ModelShortView, short_views
from fairlead.api.views.models import (
    ModelView,
    VersionView,
    loop_of,
    model_view,
    target_views,
    version_view,
    with_serving,
)
from fairlead.api.views.scaling import ScalingView, scaling_view
from fairlead.bundles.specs import model_spec
from fairlead.control.house import House
from fairlead.errors import Invalid, Unavailable
from fairlead.hub import cards
from fairlead.hub import service as hub
from fairlead.messages import ModelSpec, Target
from fairlead.models import access, aliases, queries, service
from fairlead.models import replicas as records
from fairlead.models.owner import set_owner
from fairlead.modelserver.protocols.docs import openapi_of
from fairlead.modelserver.protocols.page import POLICY, page_of
from fairlead.status import VersionStatus
from fairlead.store.records import Alias, Model, ModelVersion

calls = APIRouter(tags=["calls"])
router = APIRouter(tags=["models"])
_ENDS = {
    VersionStatus.READY: "done",
    VersionStatus.SLEEPING: "done",
    VersionStatus.RETIRED: "done",
    VersionStatus.FAILED: "error",
}

_PENDING: dict[int | str, dict[str, Any]] = {202: {"description": "done, and `pending` says which front door lags"}}


class TargetBody(Body):
    version: str
    weight: int = 100


class AliasBody(Body):
    targets: list[TargetBody] = Field(min_length=1)


class RollbackBody(Body):
    alias: str = "production"


class ModelChange(Body):
    visibility: str | None = None
    outbound: bool | None = None
    owner: str | None = None


@calls.get("/v1/models")
@router.get("/models")
async def list_models(
    house: TheHouse,
    who: Who,
    author: str = "",
    task: str = "",
    tag: str = "",
    q: str = "",
    view: Literal["whole", "short"] = "whole",
) -> Page[ModelView] | Page[ModelShortView]:
    """Return models by name: all that one may see, or those by an author, for a task, with a tag, or with all words.

    `view=short` is what lists show: no signatures, examples, versions but the one that answers.
    """

    def found(session: Session) -> list[Model]:
        return [
            one
            for one in queries.list_all(session, who)
            if cards.matches(one.name, one.owner, one.summary, one.card, author=author, task=task, tag=tag, q=q)
        ]

    if view == "short":
        alive = house.nodes.alive()
        return page(await house.database.read(lambda session: short_views(session, found(session), alive)))
    return page(await house.database.read(lambda session: _views(session, house, found(session))))


@calls.get("/v1/models/{name}")
@router.get("/models/{name}")
async def show(name: str, house: TheHouse, who: Who) -> ModelView:
    return await house.database.read(lambda session: _view(session, house, queries.get(session, who, name)))


@router.get("/models/{name}/card")
async def show_card(name: str, house: TheHouse, who: Who) -> CardView:
    """Return what people read before they use a model, each fact with whose word it is and when it was told."""

    def read(session: Session) -> CardView:
        model = queries.get(session, who, name)
        return card_view(model, hub.known(session, model.card), is_on=house.card_facts.is_on)

    return await house.database.read(read)


@calls.get("/v1/models/{ref}/openapi.json")
async def openapi(ref: str, house: TheHouse, who: Who) -> dict[str, Any]:
    """Return OpenAPI of a model from its stored signature: it may go on sleeping."""
    return await house.database.read(lambda session: openapi_of(*_described(session, who, ref)[1:]))


@calls.get(
    "/v1/models/{ref}/docs",
    response_class=HTMLResponse,
    responses={"default": {"model": Refusal, "description": "refused", "content": {"application/json": {}}}},
)
async def docs(ref: str, house: TheHouse, who: Who) -> HTMLResponse:
    """Return a page that tells how to call a model, and tries it."""

    def read(session: Session) -> str:
        version, spec, signature = _described(session, who, ref)
        return page_of(spec, signature, queries.manifest_of(version).summary, home="/")

    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    return HTMLResponse(await house.database.read(read), headers=headers)


@router.patch("/models/{name}")
async def change(name: str, body: ModelChange, response: Response, house: TheHouse, who: Who) -> ModelView:
    """Change who sees a model or whose it is, or grant it the network; 202 with ``pending`` where a front door lags."""
    now = house.clock.now()

    if body.visibility is None and body.outbound is None and body.owner is None:
        raise Invalid("nothing to change", code="nothing_to_change", hint="send visibility, outbound or owner")

    def write(session: Session) -> ModelView:
        model = queries.get(session, who, name)
        if body.visibility is not None:
            model = access.set_visibility(session, who, name, body.visibility, now)
        if body.outbound is not None:
            model = access.grant(session, who, name, "outbound", body.outbound, now)
        if body.owner is not None:  # last: who hands it over may not change it any more
            model = set_owner(session, who, name, body.owner, now)
        return _view(session, house, model)

    view = await house.database.write(write)
    return view.model_copy(update=await _pending(house, response))


@router.delete("/models/{name}", status_code=204, response_class=Response, responses=_PENDING)
async def remove(name: str, house: TheHouse, who: Who) -> Response:
    """Remove a model; 202 with ``pending`` where a front door still leads to it."""
    now = house.clock.now()
    await house.database.write(lambda session: service.remove(session, who, name, now))
    return await _gone(house)


@router.get("/models/{name}/scaling")
async def show_scaling(name: str, house: TheHouse, who: Who) -> ScalingView:
    """Return how many replicas there are and shall be, and the last decisions with what they were made from."""

    def read(session: Session) -> ScalingView:
        model = queries.get(session, who, name)
        asked = {one.version: queries.manifest_of(one) for one in queries.versions_of(session, model.name)}
        return scaling_view(model.name, asked, records.decisions(session, model.name), house)

    return await house.database.read(read)


@router.get("/models/{name}/versions/{version}")
async def show_version(name: str, version: str, house: TheHouse, who: Who) -> VersionView:
    view = await house.database.read(lambda session: _version(session, who, name, version))
    return with_serving(view, name, house.nodes.alive())


@router.delete("/models/{name}/versions/{version}", status_code=204, response_class=Response, responses=_PENDING)
async def retire(name: str, version: str, house: TheHouse, who: Who) -> Response:
    """Retire a version; 202 with ``pending`` where a front door still leads to it."""
    now = house.clock.now()
    await house.database.write(lambda session: service.retire(session, who, name, version, now))
    return await _gone(house)


@router.get("/models/{name}/versions/{version}/events")
async def follow_version(name: str, version: str, house: TheHouse, who: Who) -> StreamingResponse:
    """Stream a version's steps until the front door does all that was decided of it, or it has failed."""
    await house.database.read(lambda session: _version(session, who, name, version))
    steps = follow(
        house,
        f"models/{name}",
        lambda s: _step(s, who, name, version),
        in_force=house.reconcile.in_force,
        needs_keeper=True,
    )
    return sse(house, who, steps)


@router.put("/models/{name}/aliases/{alias}")
async def move_alias(
    name: str, alias: str, body: AliasBody, response: Response, house: TheHouse, who: Who
) -> dict[str, Any]:
    """Point an alias at versions; 202 with ``pending`` where a front door does not do so yet."""
    now = house.clock.now()
    targets = [Target(one.version, one.weight) for one in body.targets]
    placed = await house.database.write(lambda s: aliases.move_alias(s, who, name, alias, targets, now))
    house.jobs.nudge()
    view = {"alias": placed.alias, "targets": [view.model_dump() for view in target_views(placed.targets)]}
    return view | _warned(house, name, placed) | await _pending(house, response)


@router.delete("/models/{name}/aliases/{alias}", status_code=204, response_class=Response, responses=_PENDING)
async def remove_alias(name: str, alias: str, house: TheHouse, who: Who) -> Response:
    """Remove an alias but ``production``; 202 with ``pending`` where a front door still leads by it."""
    now = house.clock.now()
    await house.database.write(lambda session: aliases.remove_alias(session, who, name, alias, now))
    return await _gone(house)


@router.post("/models/{name}/rollback")
async def rollback(name: str, body: RollbackBody, response: Response, house: TheHouse, who: Who) -> dict[str, Any]:
    """Put back what an alias held before; 202 with ``pending`` where a front door does not do so yet."""
    now = house.clock.now()

    def write(session: Session) -> dict[str, Any]:
        before = (
            aliases.say(queries.alias_of(session, name, body.alias).targets) if queries.get(session, who, name) else ""
        )
        placed = aliases.rollback(session, who, name, now, body.alias)
        moved = {"alias": placed.alias, "from": before, "to": aliases.say(placed.targets)}
        return moved | _warned(house, name, placed)

    view = await house.database.write(write)
    house.jobs.nudge()
    return view | await _pending(house, response)


def _warned(house: House, name: str, alias: Alias) -> dict[str, list[str]]:
    """Return what to add to an answer where a version that the alias names does not answer now."""
    alive = house.nodes.alive()
    found = [
        f"{name}@{one.version} does not answer: {loop}; fairlead logs {name}"
        for one in alias.targets
        if (loop := loop_of(name, one.version, alive))
    ]
    return {"warnings": found} if found else {}


async def _pending(house: House, response: Response) -> dict[str, str]:
    """Return what to add to an answer once what was decided is in force; else status 202 and the reason."""
    if why := await house.reconcile.in_force():
        response.status_code = 202
        return {"pending": why}
    return {}


async def _gone(house: House) -> Response:
    """Return the answer to a removal, once no front door leads there any more or it is told which does."""
    why = await house.reconcile.in_force()
    return JSONResponse({"pending": why}, 202) if why else Response(status_code=204)


def _described(session: Session, who: Caller, ref: str) -> tuple[ModelVersion, ModelSpec, dict[str, Any]]:
    """Return a version, what runs it, and what was found out about its inputs and outputs when it was pushed."""
    name, _, wished = ref.partition("@")
    version = queries.version_of(session, name, queries.resolve(session, who, name, wished or queries.PRODUCTION))
    if version.signature is None:
        said = f"the signature of {name}@{version.version} is not known yet"
        raise Unavailable(said, code="model_not_ready", hint=f"fairlead why {name}@{version.version}", retry_after_s=1)
    return version, model_spec(queries.manifest_of(version), version.version), version.signature


def _view(session: Session, house: House, model: Model) -> ModelView:
    return _views(session, house, [model])[0]


def _views(session: Session, house: House, models: Sequence[Model]) -> list[ModelView]:
    names = [model.name for model in models]
    versions, aliases = queries.versions_of_all(session, names), queries.aliases_of_all(session, names)
    url, alive = house.settings.url, house.nodes.alive()
    return [model_view(model, versions[model.name], aliases[model.name], url, alive) for model in models]


def _version(session: Session, who: Caller, name: str, version: str) -> VersionView:
    queries.get(session, who, name)
    return version_view(queries.version_of(session, name, version))


def _step(session: Session, who: Caller, name: str, version: str) -> tuple[VersionView, str | None]:
    """Return a version, and how it ended: done once the alias that the push asked for is its own too."""
    view = _version(session, who, name, version)
    end = _ENDS.get(VersionStatus(view.status))
    if end == "done" and queries.version_of(session, name, version).takes is not None:
        end = None
    return view, end
