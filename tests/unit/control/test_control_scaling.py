"""Replicas decided from reports and the ledger, over a real SQLite file; the keeper is played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Role
from fairlead.clock import to_text
from fairlead.control import scaling as scaling_module
from fairlead.control.nodes import SILENT_S, Nodes
from fairlead.control.scaling import Scaling
from fairlead.control.waiters import Waiters
from fairlead.control.wake import REPORTS
from fairlead.figures import COLD, Figures, Histogram, Recent, observed
from fairlead.jobs import service
from fairlead.jobs.service import Asked, Submission
from fairlead.messages import NodeReport, ReplicaReport, VersionReport
from fairlead.models import replicas as records
from fairlead.status import ReplicaStatus, VersionStatus
from fairlead.store.database import Database, open_database
from fairlead.store.records import Bundle, Model, ModelVersion, ScalingDecision, User
from fairlead.testing.clock import ManualClock

ADA = Caller("ada", frozenset({Role.USER}))
MANIFEST = '{"kind":"model","name":"faces","run":{"entry":"model:predict"},"scale":{"max":%d},"resources":{"cpu":%g}}'
KEY = ("faces", "1")


@dataclass
class Stage:
    """The loop and all around it."""

    database: Database
    clock: ManualClock
    nodes: Nodes
    scaling: Scaling
    nudged: list[str] = field(default_factory=list)

    def say(
        self,
        ready: int = 0,
        *,
        in_flight: int = 0,
        waiting: int = 0,
        jobs: int = 0,
        calls: int = 0,
        versions: tuple[str, ...] = ("1",),
        cpu_s: float | None = None,
        memory_mb: float = 0,
        machine_mb: tuple[int, int] = (0, 0),
    ) -> None:
        """Have the node report: calls took 0.1 s each, a start 1 s; ``machine_mb``: all of its memory, and used."""
        figures = Figures(
            served=calls,
            compute=Histogram((calls,), calls * 0.1),
            batches=Histogram((calls,), float(calls)),
        )
        replicas = tuple(
            ReplicaReport(
                f"r{n}",
                "faces",
                one,
                ReplicaStatus.READY,
                in_flight=in_flight if n == 0 else 0,
                jobs=jobs * (n == 0),
                memory_mb=memory_mb,
            )
            for one in versions
            for n in range(ready)
        )
        status = VersionStatus.READY if ready else VersionStatus.SLEEPING
        reports = tuple(
            VersionReport(
                "faces",
                one,
                status,
                waiting=waiting,
                figures=figures if calls else None,
                recent=Recent(requests=calls) if calls else None,
                cpu_s=cpu_s,
                cold_starts=observed(Histogram(), COLD, 1.0) if calls else None,
            )
            for one in versions
        )
        all_mb, used_mb = machine_mb
        self.nodes.take(
            NodeReport(
                "local",
                1,
                to_text(self.clock.now()),
                replicas=replicas,
                versions=reports,
                cores=2,
                memory_total_mb=all_mb,
                memory_used_mb=used_mb,
            )
        )

    async def add(self, version: str) -> None:
        """Have another version of the model."""

        def write(session: Session) -> None:
            session.add(version_of(version, session.get_one(ModelVersion, KEY).manifest, self.clock.now()))

        await self.database.write(write)

    async def submit(self, count: int, version: str = "1") -> None:
        job = Submission(model="faces", version=version, body=b"{}")
        asked = [Asked(ADA, job, self.clock.now()) for _ in range(count)]
        await self.database.write(lambda session: service.submit_all(session, asked))

    async def look(self, seconds: float = 1.0) -> int:
        """Have a second go by and the loop look; return what the records want."""
        await self.clock.advance(seconds)
        await self.scaling.look()
        return await self.wanted()

    async def wanted(self) -> int:
        return await self.database.read(lambda session: session.get_one(ModelVersion, KEY).replicas)

    async def decisions(self) -> list[ScalingDecision]:
        return await self.database.read(lambda session: records.decisions(session, "faces"))


def version_of(version: str, manifest: str, now: datetime) -> ModelVersion:
    return ModelVersion(
        model="faces",
        version=version,
        ordinal=int(version),
        digest="d",
        status=VersionStatus.READY,
        manifest=manifest,
        created_by="ada",
        created_at=now,
    )


async def made(folder: Path, *, most: int = 8, cpu: float = 0.1) -> AsyncIterator[Stage]:
    clock = ManualClock()
    nodes = Nodes(clock)
    async with open_database(f"sqlite:///{folder / 'scaling.db'}") as database:
        now = clock.now()

        def fill(session: object) -> None:
            session.add(User(name="ada", roles=("user",), created_at=now))  # type: ignore[attr-defined]
            session.add(  # type: ignore[attr-defined]
                Bundle(digest="d", kind="model", name="faces", size_bytes=1, key="k", created_by="ada", created_at=now)
            )
            session.flush()  # type: ignore[attr-defined]
            session.add(Model(name="faces", owner="ada", created_at=now))  # type: ignore[attr-defined]
            session.flush()  # type: ignore[attr-defined]
            session.add(version_of("1", MANIFEST % (most, cpu), now))  # type: ignore[attr-defined]

        await database.write(fill)
        nudged: list[str] = []
        yield Stage(database, clock, nodes, Scaling(database, clock, nodes, lambda: nudged.append("")), nudged)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async for one in made(tmp_path):
        yield one


@pytest.fixture
async def heavy(tmp_path: Path) -> AsyncIterator[Stage]:
    async for one in made(tmp_path, most=20, cpu=1.0):
        yield one


async def test_a_sleeping_model_without_work_is_not_looked_at(stage: Stage) -> None:
    stage.say()

    assert await stage.look() == 0
    assert stage.scaling.state(KEY) is None
    assert await stage.decisions() == []


async def test_a_backlog_has_replicas_grow_and_says_why(stage: Stage) -> None:
    stage.say(1, calls=100)
    await stage.look()
    await stage.submit(1000)
    stage.say(1, in_flight=64, jobs=64, calls=100)

    assert await stage.look() == 8

    newest = (await stage.decisions())[0]
    assert (newest.was, newest.wanted, newest.rule) == (1, 8, "queue")
    assert newest.why == "1000 jobs wait; at 0.1 s each, 8 replicas drain them in 15 s"
    assert (newest.inputs["backlog"], newest.inputs["in_flight"], newest.inputs["cores"]) == (1000, 0, 2)
    assert stage.nudged


async def test_requests_that_the_waker_holds_count_and_what_a_call_takes_is_known_from_before(stage: Stage) -> None:
    stage.say(1, calls=100)
    await stage.look()
    stage.say(0, calls=100)
    await stage.look(400)
    stage.say(0, waiting=200, calls=100)

    assert await stage.look() == 8


async def test_one_replica_is_the_wakers_and_not_written_but_told(stage: Stage) -> None:
    stage.say(0, waiting=1)

    assert await stage.look() == 0
    assert [(one.was, one.wanted, one.rule) for one in await stage.decisions()] == [(0, 1, "activation")]


async def test_a_machine_that_lets_it_sleep_is_followed(stage: Stage) -> None:
    stage.say(1, calls=100)
    await stage.look()
    stage.say(1, in_flight=300, calls=100)
    assert await stage.look() == 8
    stage.say(0, calls=400)  # unload

    assert await stage.look() == 0
    assert (await stage.decisions())[0].why == "its machine let it sleep"
    await stage.look()
    assert stage.scaling.state(KEY) is None


async def test_a_machine_that_lets_it_sleep_because_nobody_calls_says_so(stage: Stage) -> None:
    stage.say(1, calls=100)
    await stage.look()
    stage.say(1, in_flight=300, calls=100)
    assert await stage.look() == 8
    stage.say(1, calls=100)
    await stage.look(298)
    stage.say(0, calls=100)

    assert await stage.look() == 0
    assert (await stage.decisions())[0].why == "no call for 300 s"


async def test_a_silent_machine_holds(stage: Stage) -> None:
    stage.say(1, calls=100)
    await stage.look()
    stage.say(1, in_flight=300, calls=100)
    assert await stage.look() == 8

    for _ in range(20):
        assert await stage.look(SILENT_S * 20) == 8
    state = stage.scaling.state(KEY)
    assert state is not None
    assert state.last is not None
    assert state.last.rule == "hold"


async def test_a_control_that_begins_anew_holds_what_was_wanted(stage: Stage) -> None:
    def want(session: object) -> None:
        session.get_one(ModelVersion, KEY).replicas = 5  # type: ignore[attr-defined]

    await stage.database.write(want)
    stage.say(5, in_flight=1, calls=1000)

    for _ in range(30):
        stage.say(5, in_flight=1, calls=1000)
        assert await stage.look() == 5


@pytest.mark.parametrize("step", ["_learn_one", "_decide_one"])
async def test_a_fault_in_one_version_holds_up_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await stage.add("2")
    whole = getattr(Scaling, step)

    def faulty(scaling: Scaling, key: tuple[str, str], *rest: object) -> None:
        if key == ("faces", "2"):
            raise ZeroDivisionError
        whole(scaling, key, *rest)

    monkeypatch.setattr(Scaling, step, faulty)
    await stage.submit(1000, "2")
    await stage.submit(1000)
    stage.say(1, in_flight=64, jobs=64, calls=100, versions=("2", "1"))

    await stage.look()
    assert await stage.look() > 1


async def test_cores_are_shared_and_that_is_said(heavy: Stage) -> None:
    heavy.say(1, calls=100)
    await heavy.look()
    heavy.say(1, in_flight=300, calls=100)

    assert await heavy.look() == 2
    newest = (await heavy.decisions())[0]
    assert newest.rule == "cores"
    assert newest.why.endswith("; the machine has 2 cores for all, and one takes 1: 2 of 17")


async def test_a_model_that_keeps_processors_busy_gets_no_more_replicas_than_cores_whatever_its_manifest_says(
    stage: Stage,
) -> None:
    for seconds in range(5):
        stage.say(1, calls=5 * seconds, cpu_s=0.5 * seconds)
        await stage.look()
    stage.say(1, calls=25, in_flight=300, cpu_s=2.5)

    assert await stage.look() == 2
    newest = (await stage.decisions())[0]
    assert (newest.rule, newest.inputs["replica_cores"]) == ("cores", 1.0)


async def test_one_that_mostly_waits_gets_all_that_it_wants(stage: Stage) -> None:
    for seconds in range(5):
        stage.say(1, calls=5 * seconds, cpu_s=0.025 * seconds)
        await stage.look()
    stage.say(1, calls=25, in_flight=300, cpu_s=0.125)

    assert await stage.look() == 8


async def test_memory_is_shared_and_that_is_said(stage: Stage) -> None:
    stage.say(1, calls=100, memory_mb=400, machine_mb=(2000, 900))
    await stage.look()
    stage.say(1, in_flight=300, calls=100, memory_mb=400, machine_mb=(2000, 900))

    assert await stage.look() == 3
    newest = (await stage.decisions())[0]
    assert newest.rule == "memory"
    said = "; the machine has 1300 MB of memory for all replicas, and one takes 400 MB: 3 of 8"
    assert newest.why.endswith(said)
    assert (newest.inputs["memory_mb"], newest.inputs["replica_mb"]) == (1300, 400)


async def test_so_many_decisions_are_kept(stage: Stage) -> None:
    made = [records.Made(KEY, 1, 2, "queue", str(n), {}) for n in range(records.KEPT + 30)]
    for one in made:
        await stage.database.write(partial(records.write, made=[one], now=stage.clock.now()))

    kept = await stage.decisions()
    assert len(kept) == records.KEPT
    assert kept[0].why == str(records.KEPT + 29)


async def test_r16_the_first_replica_that_a_machine_starts_by_itself_is_a_decision_too(stage: Stage) -> None:
    stage.say(0)
    await stage.look()
    stage.say(1, in_flight=1)
    await stage.look()
    await stage.look()
    steps = [(one.was, one.wanted, one.rule) for one in await stage.decisions()]
    assert steps == [(0, 1, "activation")]


async def test_r16_what_runs_when_control_begins_is_nobodys_decision(stage: Stage) -> None:
    stage.say(1, in_flight=1)
    await stage.look()
    await stage.look()
    assert await stage.decisions() == []


async def test_a_report_is_looked_at_when_it_comes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling_module, "LATEST_S", 3600.0)
    waiters, looked = Waiters(), asyncio.Event()
    scaling = Scaling(stage.database, stage.clock, stage.nodes, lambda: None, waiters)

    async def look() -> None:
        looked.set()

    monkeypatch.setattr(scaling, "look", look)
    loop = asyncio.create_task(scaling.run())
    try:
        for _ in range(3):
            async with asyncio.timeout(30):
                await looked.wait()
            looked.clear()
            waiters.tell(REPORTS)
            async with asyncio.timeout(30):
                while not stage.clock.sleepers:
                    await asyncio.sleep(0)
            assert not looked.is_set(), "looks do not follow each other without a rest"
            await stage.clock.advance(scaling_module.REST_S)
    finally:
        loop.cancel()
