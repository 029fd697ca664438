"""Zygotes of versions that sleep: a few at a time, by what they really take."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from fairlead.engines import Launch
from fairlead.engines.launch import launch
from fairlead.keeper.serving.version import Version
from fairlead.keeper.serving.warmer import AT_ONCE, EVERY_S, Warmer
from fairlead.messages import EnvironmentSpec, ModelSpec, VersionWanted
from fairlead.sandbox.level import Isolation, Level
from fairlead.settings import Home
from fairlead.testing.engine import HistoryEngine

WANTED = VersionWanted(
    spec=ModelSpec(name="m", version="1", runtime="onnx", artifact="m.onnx"),
    digest="sha256:0123456789abcdef",
    bundle_key="bundles/x.zip",
    environment=EnvironmentSpec(requires=("onnxruntime",)),
    gate="g",
)


def versions(count: int) -> list[Version]:
    """Return versions that sleep, the last one called last."""
    made = []
    for number in range(count):
        version = Version((f"m{number}", "1"))
        spec = msgspec.structs.replace(WANTED.spec, name=f"m{number}")
        version.want(msgspec.structs.replace(WANTED, spec=spec, digest=f"sha256:{number:016x}"), is_prepared=True)
        version.last_called = float(number)
        made.append(version)
    return made


class Warmed:
    """A warmer over an engine that only remembers; ``memory_mb`` is what each zygote takes."""

    def __init__(self, folder: Path, budget_mb: float, memory_mb: float) -> None:
        self._folder = folder
        self.engine, self.measured = HistoryEngine(), 0
        self._memory_mb, self._now = memory_mb, 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self.warmer = Warmer(
            self.engine,
            self._launch,
            budget_mb,
            spawn=self._spawn,
            on_failure=lambda *_: None,
            memory_mb=self._measure,
        )

    async def look(self, known: list[Version]) -> None:
        self._now += EVERY_S
        self.warmer.look(known, self._now)
        await asyncio.gather(*self._tasks)

    async def _launch(self, wanted: VersionWanted) -> Launch:
        return launch(
            wanted,
            Home(self._folder),
            replica="r",
            bundle=self._folder,
            environment=self._folder,
            base=(),
            isolation=Isolation(Level.NONE),
            uid=None,
            platform_uid=0,
            marker={},
        )

    def _spawn(self, work: Any, _: str) -> None:
        self._tasks.add(asyncio.ensure_future(work))

    def _measure(self, _: int) -> float:
        self.measured += 1
        return self._memory_mb


async def test_a_restart_with_many_models_starts_a_few_at_a_time_up_to_the_budget(tmp_path: Path) -> None:
    warmed, known = Warmed(tmp_path, budget_mb=300, memory_mb=30), versions(50)
    await warmed.look(known)
    assert len(warmed.engine.zygotes()) == AT_ONCE
    for _ in range(20):
        await warmed.look(known)
    running = warmed.engine.zygotes()
    assert len(running) == 10
    assert {name.partition("-")[0] for name in running} == {f"m{number}" for number in range(40, 50)}
    assert not [said for said in warmed.engine.said if said[0] == "cool"]


async def test_one_that_does_not_fit_is_started_once(tmp_path: Path) -> None:
    warmed = Warmed(tmp_path, budget_mb=150, memory_mb=400)
    for _ in range(10):
        await warmed.look(versions(1))
    assert [verb for verb, _ in warmed.engine.said] == ["warm", "cool"]


async def test_one_that_is_called_takes_the_place_of_the_one_that_was_not_for_longest(tmp_path: Path) -> None:
    warmed, known = Warmed(tmp_path, budget_mb=70, memory_mb=30), versions(4)
    for _ in range(3):
        await warmed.look(known)
    assert {name.partition("-")[0] for name in warmed.engine.zygotes()} == {"m2", "m3"}
    known[0].last_called = 99.0
    for _ in range(2):
        await warmed.look(known)
    assert {name.partition("-")[0] for name in warmed.engine.zygotes()} == {"m0", "m3"}


async def test_no_look_measures_all(tmp_path: Path) -> None:
    warmed, known = Warmed(tmp_path, budget_mb=10_000, memory_mb=30), versions(40)
    for _ in range(30):
        await warmed.look(known)
    before = warmed.measured
    await warmed.look(known)
    assert 0 < warmed.measured - before <= 5
