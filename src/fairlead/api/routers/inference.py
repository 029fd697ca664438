"""The Open Inference Protocol but for inference itself: health, metadata, statistics and the index of models.

https://github.com/kserve/open-inference-protocol. Errors are one text here (``api.errors``), as the protocol has them.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts.policy import Caller, check_owner
from fairlead.api.deps import TheHouse, Who
from fairlead.api.routers import system
from fairlead.api.views.inference import CALLABLE, EXTENSIONS, config_view, index_view, metadata_view, stats_view
from fairlead.bundles.specs import model_spec
from fairlead.control.wake import rest, wake
from fairlead.errors import Conflict, Invalid, Unavailable
from fairlead.messages import ModelSpec
from fairlead.models import queries
from fairlead.status import VersionStatus
from fairlead.store.records import ModelVersion

A = TypeVar("A")
router = APIRouter(prefix="/v2", tags=["inference"])


class IndexAsk(msgspec.Struct):
    """What of the index is wanted."""

    ready: bool = False


class LoadAsk(msgspec.Struct):
    parameters: dict[str, Any] = {}


@router.get("", include_in_schema=False)
@router.get("/")
async def server(house: TheHouse, who: Who) -> dict[str, Any]:
    """Return the server's name, version and extensions."""
    return {"name": "fairlead", "version": house.version, "extensions": list(EXTENSIONS)}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """Answer: the process is there."""
    return {"live": True}


@router.get("/health/ready")
async def ready(house: TheHouse) -> dict[str, bool]:
    """Answer 200 when the platform takes calls, else 503."""
    await system.ready(house)
    return {"live": True, "ready": True}


@router.get("/models")
async def models(house: TheHouse, who: Who) -> dict[str, list[str]]:
    """Return the names of the models that the caller may see."""
    return await house.database.read(lambda s: {"models": [model.name for model in queries.list_all(s, who)]})


@router.get("/models/stats")
async def all_stats(house: TheHouse, who: Who) -> dict[str, Any]:
    """Return how often the models were called."""

    def read(session: Session) -> dict[str, Any]:
        names = [model.name for model in queries.list_all(session, who)]
        versions = chain(*queries.versions_of_all(session, names).values())
        return stats_view([one for one in versions if queries.is_live(one)], house.nodes.alive())

    return await house.database.read(read)


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{ref}")
async def metadata(name: str, house: TheHouse, who: Who, ref: str = queries.PRODUCTION) -> dict[str, Any]:
    """Return a model's inputs and outputs as tensors; ``ref`` is a version or an alias."""

    return await house.database.read(lambda session: _described(session, who, name, ref)[1])


@router.get("/models/{name}/config")
@router.get("/models/{name}/versions/{ref}/config")
async def config(name: str, house: TheHouse, who: Who, ref: str = queries.PRODUCTION) -> dict[str, Any]:
    """Return a model's configuration in Triton's words: what its clients read names and sizes of batches from."""

    def read(session: Session) -> dict[str, Any]:
        spec, told = _described(session, who, name, ref)
        return config_view(spec, told, most=spec.batch.max_size)

    return await house.database.read(read)


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{ref}/ready")
async def model_ready(name: str, house: TheHouse, who: Who, ref: str = queries.PRODUCTION) -> JSONResponse:
    """Answer 200 when a call would be answered, at once or after waking, else 503."""

    def read(session: Session) -> bool:
        queries.get(session, who, name)
        try:
            return any(one.status in CALLABLE for one in _meant(session, who, name, ref))
        except Unavailable:
            return False

    answers = await house.database.read(read)
    body: dict[str, Any] = {"name": name, "ready": answers}
    if not answers:
        body["error"] = f"no version that {name}@{ref} leads to is ready (fairlead why {name})"
    return JSONResponse(body, status_code=200 if answers else 503)


@router.get("/models/{name}/stats")
@router.get("/models/{name}/versions/{ref}/stats")
async def stats(name: str, house: TheHouse, who: Who, ref: str | None = None) -> dict[str, Any]:
    """Return how often a model was called: each live version, or what ``ref`` means."""

    def read(session: Session) -> dict[str, Any]:
        queries.get(session, who, name)
        found = _live(session, name) if ref is None else _meant(session, who, name, ref)
        return stats_view(found, house.nodes.alive())

    return await house.database.read(read)


@router.post("/models/{name}/versions/{ref}/infer", include_in_schema=False)
async def not_served(name: str, ref: str, house: TheHouse, who: Who) -> None:
    """Refuse a call that the front door knows no version for."""
    await house.database.read(lambda session: [one.version for one in _meant(session, who, name, ref)])
    raise Unavailable(
        f"{name}@{ref} takes no calls yet", code="model_not_ready", hint=f"fairlead why {name}", retry_after_s=1
    )


@router.post("/repository/index")
async def index(request: Request, house: TheHouse, who: Who) -> list[dict[str, str]]:
    """Return all versions of all models with their states; with ``ready`` those that answer calls."""
    asked = _asked(await request.body(), IndexAsk)

    def read(session: Session) -> list[dict[str, str]]:
        names = [model.name for model in queries.list_all(session, who)]
        versions, aliases = queries.versions_of_all(session, names), queries.aliases_of_all(session, names)
        named = {(held.model, target.version) for held in chain(*aliases.values()) for target in held.targets}
        found = [
            index_view(one, named=(one.model, one.version) in named)
            for one in chain(*versions.values())
            if one.status is not VersionStatus.RETIRED
        ]
        return [one for one in found if not asked.ready or one["state"] == "READY"]

    return await house.database.read(read)


@router.post("/repository/models/{name}/load")
async def load(name: str, request: Request, house: TheHouse, who: Who) -> dict[str, Any]:
    """Wake what ``production`` leads to and answer once it is awake; nothing is changed by it."""
    if _asked(await request.body(), LoadAsk).parameters:
        raise Invalid("load takes no parameters here", hint="push a bundle to change a model: fairlead push FOLDER")

    def read(session: Session) -> list[tuple[str, float]]:
        meant = _meant(session, who, name, queries.PRODUCTION)
        return [(one.version, queries.manifest_of(one).run.start_timeout_s) for one in meant]

    for version, timeout_s in await house.database.read(read):
        await wake(house.bus, house.nodes, house.waiters, house.clock, name, version, timeout_s)
    return {"name": name, "load": True}


@router.post("/repository/models/{name}/unload")
async def unload(name: str, house: TheHouse, who: Who) -> dict[str, Any]:
    """Let the model sleep now, as it would after ``idle_s``; the next call or ``load`` wakes it. For its owner."""

    def read(session: Session) -> list[str]:
        check_owner(who, queries.get(session, who, name).owner, f"the model {name}")
        live = [one for one in _live(session, name) if one.status in CALLABLE]
        if any(queries.manifest_of(one).scale.min > 0 for one in live):
            raise Conflict(
                f"{name} is always awake: its manifest says [scale] min",
                code="never_sleeps",
                hint="min = 0 lets it sleep",
            )
        return [one.version for one in live]

    for version in await house.database.read(read):
        await rest(house.bus, house.nodes, name, version)
    return {"name": name, "unload": True}


def _described(session: Session, who: Caller, name: str, ref: str) -> tuple[ModelSpec, dict[str, Any]]:
    """Return what runs the version that ``ref`` leads to first, and its metadata; raises where it is not known yet."""
    version = _meant(session, who, name, ref)[0]
    if version.signature is None:
        raise Unavailable(
            f"the inputs of {name}@{version.version} are not known yet",
            code="model_not_ready",
            hint=f"fairlead why {name}@{version.version}",
            retry_after_s=1,
        )
    spec = model_spec(queries.manifest_of(version), version.version)
    return spec, metadata_view(spec, version.signature, _callable(session, name))


def _asked(body: bytes, kind: type[A]) -> A:
    """Return what the body asks for; an empty body asks for nothing special."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise Invalid(f"the body is wrong: {error}", code="invalid_json", hint="send an object, or nothing") from error


def _meant(session: Session, who: Caller, name: str, ref: str) -> list[ModelVersion]:
    """Return the versions that ``ref`` leads to, the one with most of its calls first; raises as ``resolve`` does."""
    number = queries.resolve(session, who, name, ref)
    if ids.is_version(ref):
        return [queries.version_of(session, name, number)]
    targets = sorted(queries.alias_of(session, name, ref).targets, key=lambda target: -target.weight)
    return [queries.version_of(session, name, target.version) for target in targets]


def _named(session: Session, name: str) -> list[str]:
    """Return the versions that an alias leads to."""
    return [target.version for alias in queries.aliases_of(session, name) for target in alias.targets]


def _callable(session: Session, name: str) -> list[str]:
    named = set(_named(session, name))
    return [one.version for one in reversed(queries.versions_of(session, name)) if one.version in named]


def _live(session: Session, name: str) -> list[ModelVersion]:
    return [one for one in queries.versions_of(session, name) if queries.is_live(one)]
