"""An API in this process: the real application, house and SQLite; a bus in memory; a keeper that does as it is told."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from tests.unit.api.frontdoor import FrontDoor

from fairlead.accounts import service as accounts
from fairlead.accounts.policy import SYSTEM, Role
from fairlead.api.app import make_app
from fairlead.buckets.obstore import open_bucket
from fairlead.bundles.pack import pack
from fairlead.clock import SystemClock, to_text
from fairlead.control.house import House
from fairlead.identity.tokens import mint
from fairlead.messages import (
    JobBegan,
    JobEnded,
    JobOrder,
    NodeReport,
    NodeWanted,
    Prepared,
    ProgramReport,
    RunReport,
    VersionReport,
)
from fairlead.settings import Home, Settings
from fairlead.status import RunStatus, VersionStatus
from fairlead.store.database import open_database
from fairlead.testing.bus import MemoryBus

PEOPLE = {
    "ada": ["ai_developer"],
    "ben": ["ai_developer"],
    "paul": ["app_developer"],
    "eve": ["configurer"],
    "zoe": ["user"],
}
"""Roles of everybody; beside them ``only-<role>`` is each."""
DEADLINE_S = 30.0
SIGNATURE = {
    "endpoints": {
        "predict": {
            "input": {"type": "object", "properties": {"month": {"type": "integer", "minimum": 1, "maximum": 12}}},
            "output": {"type": "object"},
            "files": [],
            "summary": "Say <it>",
            "exact": True,
        }
    },
    "examples": [],
}
MODEL = 'kind = "model"\nname = "{name}"\nsummary = "Says it."\n{more}\n[run]\nentry = "model:predict"\n'
APP = 'kind = "app"\nname = "{name}"\n[run]\nentry = "app:app"\n{more}\n'


class Keeper:
    """Reports what a keeper would that does what it is told and succeeds; ``fail`` names versions that do not."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self.wanted = NodeWanted("local", 0)
        self.fail: set[str] = set()
        self.answer = b'{"late": true}'
        self.does_jobs = True
        self.silent = False
        """Whether somebody else speaks for it."""
        self.door_lags = False
        self._door_holds = 0

    async def begin(self) -> None:
        await self._bus.subscribe(NodeWanted, self._take, node="local")
        await self._bus.subscribe(JobOrder, self._work, node="local")
        await self.report()

    async def report(self) -> None:
        if self.silent:
            return
        wanted = self.wanted
        self._door_holds = self._door_holds if self.door_lags else wanted.generation
        models = [_model(version.spec.name, version, self.fail) for version in wanted.versions]
        apps = [Prepared("app", app.app, app.version, app.digest, "done", attempt=app.attempt) for app in wanted.apps]
        await self._bus.publish(
            NodeReport(
                "local",
                wanted.generation,
                to_text(SystemClock().now()),
                prepared=(*models, *apps),
                versions=tuple(
                    VersionReport(one.spec.name, one.spec.version, VersionStatus.READY, attempt=one.attempt)
                    for one in wanted.versions
                    if not one.prepare
                ),
                runs=tuple(RunReport(run.run, RunStatus.READY, "it is ready") for run in wanted.runs if not run.stop),
                programs=(ProgramReport("envoy", "running", 7), ProgramReport("control", "running", 8)),
                door_generation=self._door_holds,
            )
        )

    async def _take(self, wanted: NodeWanted) -> None:
        self.wanted = wanted
        await self.report()

    async def _work(self, order: JobOrder) -> None:
        if not self.does_jobs:
            return
        await self._bus.request(JobBegan("local", order.job, order.epoch, "replica-1"))
        await self._bus.request(JobEnded("local", order.job, order.epoch, body=self.answer))


def _model(name: str, version: Any, fail: set[str]) -> Prepared:
    step = "failed" if name in fail else "done"
    return Prepared(
        "model",
        name,
        version.spec.version,
        version.digest,
        step,
        said="no PIL" if name in fail else "",
        signature=SIGNATURE,
        attempt=version.attempt,
    )


class World:
    """The API, those who call it, and what is behind it."""

    def __init__(self, app: FastAPI, house: House, bus: MemoryBus, folder: Path) -> None:
        self.house, self.bus, self.folder = house, bus, folder
        self.keeper = Keeper(bus)
        self.app = app
        app.state.house = house
        self._clients: dict[str, httpx.AsyncClient] = {}

    def by(self, name: str) -> httpx.AsyncClient:
        """Return a client with a token of ``name``; of nobody for the empty name."""
        if name not in self._clients:
            headers = {"Authorization": f"Bearer {self.token(name)}"} if name else {}
            transport = FrontDoor(self.app)
            self._clients[name] = httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:8080", headers=headers, timeout=DEADLINE_S
            )
        return self._clients[name]

    def token(self, name: str, roles: list[str] | None = None) -> str:
        chosen = roles if roles is not None else PEOPLE.get(name, ["configurer"])
        return mint(name, chosen, keys=self.house.keys, days=1, now=self.house.clock.now()).token

    def bundle(self, name: str = "flowers", text: str = MODEL, more: str = "", content: str = "") -> bytes:
        """Return the zip of a small bundle; ``content`` makes it another one."""
        folder = self.folder / "bundle"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "fairlead.toml").write_text(text.format(name=name, more=more))
        (folder / "model.py").write_text(f"def predict(month: int) -> dict:\n    return {{}}\n# {content}\n")
        (folder / "app.py").write_text("import fairlead\napp = fairlead.App()\n")
        file = self.folder / "bundle.zip"
        file.unlink(missing_ok=True)
        pack(folder, file)
        return file.read_bytes()

    async def push(self, by: str = "ada", alias: str = "production", **what: str) -> httpx.Response:
        headers = {"Content-Type": "application/zip"}
        return await self.by(by).post(
            "/api/v1/bundles", params={"alias": alias}, content=self.bundle(**what), headers=headers
        )

    async def model(self, name: str = "flowers", by: str = "ada", **what: str) -> str:
        """Push a model and return its version once ``production`` names it."""
        answer = await self.push(by, name=name, **what)
        assert answer.status_code in (200, 202), answer.text
        version = str(answer.json()["version"])

        async def taken() -> bool:
            view = (await self.by(by).get(f"/api/v1/models/{name}")).json()
            return [one["version"] for one in view["aliases"].get("production", [])] == [version]

        await self.until(taken)
        return version

    async def room(self, *devices: str) -> dict[str, Any]:
        """Have the place ``lab`` and ``devices`` (named ``<type>-<number>``, of built-in types); return their views."""
        eve = self.by("eve")
        if (await eve.get("/api/v1/locations/lab")).status_code == 404:
            await self.ok(eve.post("/api/v1/locations", json={"path": "lab", "zone": "Europe/Berlin"}))
        return {
            name: await self.ok(
                eve.post("/api/v1/devices", json={"id": name, "type": name.partition("-")[0], "at": "lab"})
            )
            for name in devices
        }

    async def smart(self, name: str = "smart", more: str = '[devices]\nfan = { type = "fan@1" }\n') -> None:
        """Push an app and return once it is ready."""
        answer = await self.push("paul", name=name, text=APP, more=more)
        assert answer.status_code in (200, 202), answer.text

        async def ready() -> bool:
            view = (await self.by("paul").get(f"/api/v1/apps/{name}")).json()
            return "production" in view["aliases"]

        await self.until(ready)

    async def ok(self, call: Any) -> Any:
        answer = await call
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    @staticmethod
    async def until(holds: Callable[[], Any]) -> None:
        """Return when ``holds`` does."""
        async with asyncio.timeout(DEADLINE_S):
            while not await holds():
                await asyncio.sleep(0.01)

    @staticmethod
    def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
        """Return the error after checking that it has the one shape (docs/contract.md §8)."""
        assert (answer.status_code, answer.json().get("error", {}).get("code")) == (status, code), answer.text
        error: dict[str, Any] = answer.json()["error"]
        assert set(answer.json()) == {"error"}
        assert set(error) <= {"code", "message", "hint", "id", "problems"}
        assert error["message"]
        assert error["id"] == answer.headers["x-request-id"]
        return error

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its schema, made once."""
    file = tmp_path_factory.mktemp("blank") / "fairlead.sqlite3"

    async def make() -> None:
        async with open_database(f"sqlite:///{file}"):
            pass

    asyncio.run(make())
    return file


@pytest.fixture(scope="session")
def application() -> FastAPI:
    """The application, made once (its routes take a quarter of a second); each world puts its own house into it."""

    class Unfurnished:
        version = installed_version("fairlead")

    return make_app(cast(House, Unfurnished()))


@pytest.fixture
async def world(application: FastAPI, blank: Path, tmp_path: Path) -> AsyncIterator[World]:
    home = Home(tmp_path / "home")
    for folder in (home.logs, home.keeper):
        folder.mkdir(parents=True)
    shutil.copy(blank, home.database)
    async with open_database(f"sqlite:///{home.database}") as database:
        bus = MemoryBus()
        settings = Settings(home=home.root, body_max_bytes=200_000, bundle_max_bytes=2_000_000, card_facts=False)
        house = House(settings, home, SystemClock(), database, bus, open_bucket("memory://"))

        def people(session: Any) -> None:
            only = {f"only-{role.value.replace('_', '-')}": [role.value] for role in Role}
            for name, roles in (PEOPLE | only).items():
                accounts.add(session, SYSTEM, name, roles, None, house.clock.now())

        await database.write(people)
        await house.open()
        made = World(application, house, bus, tmp_path)
        await made.keeper.begin()
        yield made
        house.closing.set()
        await made.close()
        await house.close()
        await bus.close()
