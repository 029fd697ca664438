"""A zygote that begins while its bundle is looked into."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fairlead.clock import SystemClock
from fairlead.engines import Launch
from fairlead.engines.launch import launch, zygote_name
from fairlead.engines.port import Begun
from fairlead.errors import Unavailable
from fairlead.keeper.bundles import early
from fairlead.keeper.bundles.early import Early
from fairlead.keeper.serving.version import Version
from fairlead.keeper.serving.warmer import Warmer
from fairlead.messages import EnvironmentSpec, ModelSpec, VersionWanted
from fairlead.sandbox.level import Isolation, Level
from fairlead.settings import Home
from fairlead.supervisor import Record
from fairlead.supervisor.process import write_record
from fairlead.testing.engine import HistoryEngine

WANTED = VersionWanted(
    spec=ModelSpec(name="flowers", version="2", runtime="sklearn", artifact="m.joblib"),
    digest="sha256:0123456789abcdef",
    bundle_key="bundles/x.zip",
    environment=EnvironmentSpec(requires=("scikit-learn",)),
    gate="g",
    prepare=True,
)
NAME = zygote_name("flowers", WANTED.digest)


class Engine(HistoryEngine):
    """An engine that notes what zygotes were told to import."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, ...]] = []

    async def warm(self, launch: Launch, begun: Begun = lambda pid: None) -> None:
        self.told.append(launch.spec.preload)
        await super().warm(launch, begun)


async def begin(wanted: VersionWanted, folder: Path, environment: Path) -> Launch:
    return launch(
        wanted,
        Home(folder),
        replica="r",
        bundle=folder,
        environment=environment,
        base=(),
        isolation=Isolation(Level.NONE),
        uid=None,
        platform_uid=0,
        marker={},
    )


async def refuse(wanted: VersionWanted, folder: Path, environment: Path) -> Launch:
    raise Unavailable("no user is left", code="no_uid")


async def warmed(home: Home, *known: str, begin: Any = begin) -> Engine:
    engine = Engine()
    async with asyncio.TaskGroup() as group:
        made = Early(engine, home, SystemClock(), begin, group)
        await made.warm(WANTED, home.root, home.root, known)
    return engine


async def test_it_imports_what_its_kind_needs_and_what_the_version_before_it_did(tmp_path: Path) -> None:
    engine = await warmed(Home(tmp_path), "sklearn", "sklearn.linear_model")
    assert engine.told == [("numpy", "joblib", "sklearn", "sklearn.linear_model")]


async def test_it_is_not_waited_for_once_its_process_is_there_and_records_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, looks = Engine(), []
    engine.may_start.clear()
    monkeypatch.setattr(early, "read_records", lambda folder: looks.append(folder) or [])
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        begun = Early(engine, Home(tmp_path), SystemClock(), begin, group)
        await begun.warm(WANTED, tmp_path, tmp_path, ())
        assert engine.zygotes() == {}
        engine.may_start.set()
    assert NAME in engine.zygotes()
    assert len(looks) == 1


async def test_what_cannot_begin_early_is_no_fault(tmp_path: Path) -> None:
    assert (await warmed(Home(tmp_path), begin=refuse)).told == []


async def test_one_of_an_earlier_keeper_that_is_not_adopted_yet_is_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    write_record(home.children, Record(name=NAME, pid=1, start_time=0, boot_id="", argv0=""))
    assert (await warmed(home)).told == []


@pytest.mark.parametrize("is_wanted", [True, False], ids=["looked into", "wrong"])
async def test_it_is_kept_while_its_bundle_is_looked_into_and_goes_where_that_is_wrong(
    tmp_path: Path, is_wanted: bool
) -> None:
    engine = await warmed(Home(tmp_path))
    version = Version(("flowers", "2"))
    if is_wanted:
        version.want(WANTED, is_prepared=False)
    async with asyncio.TaskGroup() as group:

        def spawn(work: Any, name: str) -> None:
            group.create_task(work, name=name)

        warmer = Warmer(engine, lambda _: begin(WANTED, tmp_path, tmp_path), 1000, spawn=spawn, on_failure=print)
        warmer.look([version], now=0)
    assert (NAME in engine.zygotes()) == is_wanted
