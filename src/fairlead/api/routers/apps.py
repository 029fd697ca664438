"""Apps: listed, shown, aliased, rolled back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check, check_owner
from fairlead.api.deps import TheHouse, Who
from fairlead.api.stream import follow, sse
from fairlead.api.views.base import Body, Page, page
from fairlead.api.views.models import VersionView
from fairlead.api.views.runs import AppView, ReadmeView, app_version_view, app_view
from fairlead.apps import aliases, owner, runs, sight, versions
from fairlead.buckets.keys import bundle_key
from fairlead.buckets.members import member
from fairlead.control.house import House
from fairlead.errors import Conflict, NotFound
from fairlead.status import VersionStatus
from fairlead.store.records import App

router = APIRouter(tags=["apps"])
FOLLOW_S = 2.0
README_MAX_BYTES = 256 * 1024
_ENDS = {VersionStatus.READY: "done", VersionStatus.RETIRED: "done", VersionStatus.FAILED: "error"}


class AliasBody(Body):
    version: str


class AppChange(Body):
    owner: str


class RollbackBody(Body):
    alias: str = versions.PRODUCTION


@router.get("/apps")
async def list_apps(house: TheHouse, who: Who) -> Page[AppView]:
    def read(session: Session) -> list[AppView]:
        return [_view(session, house, who, app) for app in versions.list_apps(session, who)]

    return page(await house.database.read(read))


@router.get("/apps/{name}")
async def show(name: str, house: TheHouse, who: Who) -> AppView:
    return await house.database.read(lambda session: _view(session, house, who, sight.show_app(session, who, name)))


@router.patch("/apps/{name}")
async def change(name: str, body: AppChange, house: TheHouse, who: Who) -> AppView:
    """Hand an app over: its owner, or a configurer, gives it to another person."""
    now = house.clock.now()

    def write(session: Session) -> AppView:
        return _view(session, house, who, owner.set_owner(session, who, name, body.owner, now))

    view = await house.database.write(write)
    house.reconcile.nudge()
    return view


@router.delete("/apps/{name}", status_code=204)
async def remove(name: str, house: TheHouse, who: Who) -> None:
    """Remove an app that no schedule and no run wants any more."""
    now = house.clock.now()

    def write(session: Session) -> None:
        _managed(session, who, name)
        versions.remove(session, name, now, by=who.name)

    await house.database.write(write)
    await house.reconcile.settle()


@router.get("/apps/{name}/readme")
async def readme(name: str, house: TheHouse, who: Who) -> ReadmeView:
    """Return the README.md of the version that runs take, as text; empty where the bundle has none."""

    def read(session: Session) -> tuple[str, str]:
        version = versions.show_version(session, sight.show_app(session, who, name).name)
        return version.version, version.digest

    version, digest = await house.database.read(read)
    try:
        text = await member(house.bucket, bundle_key(digest), "README.md", max_bytes=README_MAX_BYTES)
    except NotFound:
        text = b""
    return ReadmeView(version=version, text=text.decode("utf-8", "replace"))


@router.get("/apps/{name}/versions/{version}")
async def show_version(name: str, version: str, house: TheHouse, who: Who) -> VersionView:
    return await house.database.read(lambda session: _version(session, who, name, version))


@router.get("/apps/{name}/versions/{version}/events")
async def follow_version(name: str, version: str, house: TheHouse, who: Who) -> StreamingResponse:
    """Stream a version's steps until it is ready or has failed."""
    await house.database.read(lambda session: _version(session, who, name, version))
    steps = follow(house, f"apps/{name}", lambda s: _step(s, who, name, version), FOLLOW_S, needs_keeper=True)
    return sse(house, who, steps)


@router.put("/apps/{name}/aliases/{alias}")
async def move_alias(name: str, alias: str, body: AliasBody, house: TheHouse, who: Who) -> dict[str, Any]:
    """Name a version: runs that go on keep theirs, schedules follow at their next window."""
    now = house.clock.now()

    def write(session: Session) -> str:
        _managed(session, who, name)
        found = versions.show_version(session, name, body.version)
        if found.ready_at is None:
            said = f"{name}@{found.version} is {found.status}: {found.reason or 'it never was ready'}"
            raise Conflict(said, code="version_not_ready", hint=f"fairlead why {name}@{found.version}")
        return versions.set_alias(session, name, alias, found.version, now, by=who.name).version

    version = await house.database.write(write)
    house.reconcile.nudge()
    return {"alias": alias, "targets": [{"version": version, "weight": 100}]}


@router.post("/apps/{name}/rollback")
async def rollback(name: str, body: RollbackBody, house: TheHouse, who: Who) -> dict[str, Any]:
    now = house.clock.now()

    def write(session: Session) -> dict[str, Any]:
        _managed(session, who, name)
        placed = versions.rollback(session, name, now, by=who.name, alias=body.alias)
        return {"alias": placed.alias, "from": placed.previous, "to": placed.version}

    view = await house.database.write(write)
    house.reconcile.nudge()
    return view


def _managed(session: Session, who: Caller, name: str) -> App:
    app = sight.show_app(session, who, name)
    check(who, Verb.MANAGE_APPS)
    check_owner(who, app.owner, f"the app {name}")
    return app


def _view(session: Session, house: House, who: Caller, app: App) -> AppView:
    found, named = versions.list_versions(session, app.name), aliases.list_all(session, app.name)
    page = runs.page_of(session, who, app.name)
    return app_view(app, found, named, house.runs.address(page) if page else None)


def _version(session: Session, who: Caller, name: str, version: str) -> VersionView:
    sight.show_app(session, who, name)
    return app_version_view(versions.show_version(session, name, version))


def _step(session: Session, who: Caller, name: str, version: str) -> tuple[VersionView, str | None]:
    view = _version(session, who, name, version)
    return view, _ENDS.get(VersionStatus(view.status))
