"""Objectives over time: how soon an outage is told, how seldom nothing is, and what a restart of control changes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from fairlead.accounts.policy import Caller, Role
from fairlead.buckets.obstore import open_bucket
from fairlead.bundles.manifest import ModelManifest, ModelRun, Slo
from fairlead.control.objectives import Objectives
from fairlead.control.post import Post
from fairlead.exposition import text
from fairlead.identity.seal import Sealer
from fairlead.jobs import callbacks
from fairlead.messages import Sliced, SlicesTold, Target
from fairlead.objectives import slices
from fairlead.settings import Settings
from fairlead.status import VersionStatus
from fairlead.store.database import Database, open_database
from fairlead.store.records import Alias, Bundle, Delivery, Mail, Model, ModelVersion, SloTarget, User
from fairlead.testing.clock import ManualClock

ADA = Caller("ada", frozenset({Role.USER}))
SLICE_S = 60
LOOK_S = SLICE_S / 6


class Stage:
    """Control's loop on a clock of the test, and a keeper that tells it what was counted."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.clock, self.database, self.folder = ManualClock(), database, folder
        self.counted: dict[int, tuple[int, int]] = {}
        self.begin()

    def begin(self) -> None:
        """Have control begin anew."""
        post = Post(self.database, open_bucket(str(self.folder)), self.clock, Settings(home=self.folder))
        self.loop = Objectives(self.database, self.clock, post, hour_s=3600, url="http://here", keep_days=90)

    async def add_model(self) -> None:
        now = self.clock.now()
        manifest = ModelManifest(kind="model", name="mood", run=ModelRun(entry="m:M"), slo=Slo(availability=99.9))
        made = ModelVersion(
            model="mood",
            version="1",
            ordinal=1,
            digest="d",
            status=VersionStatus.READY,
            manifest=msgspec.json.encode(manifest).decode(),
            created_by="ada",
            created_at=now,
        )
        bundle = Bundle(digest="d", kind="model", name="mood", size_bytes=1, key="k", created_by="ada", created_at=now)
        alias = Alias(model="mood", alias="production", targets=(Target("1", 100),), moved_by="ada", moved_at=now)
        target = SloTarget(
            model="mood", mail=("ops@example.org",), webhook="https://hooks.example.org/x", set_by="ada", set_at=now
        )
        await self.database.write(lambda s: s.add(User(name="ada", roles=("user",), created_at=now)))
        await self.database.write(lambda s: s.add_all([Model(name="mood", owner="ada", created_at=now), bundle]))
        await self.database.write(lambda s: s.add_all([made, alias, target]))
        await self.database.write(lambda s: callbacks.new_secret(s, ADA, now, Sealer(b"k" * 32)))

    async def serve(self, answered: int, failed: int = 0) -> None:
        """Answer requests; the keeper tells of them."""
        at = slices.slice_of(self.clock.now(), SLICE_S)
        before = self.counted.get(at, (0, 0))
        self.counted[at] = before[0] + answered, before[1] + failed
        one = Sliced("mood", "1", at, *self.counted[at])
        assert (await self.loop.told(SlicesTold("here", "slo-1", SLICE_S, (one,)))).ok

    async def minutes(self, count: float, per_s: float, share: float = 0.0, every_s: float = LOOK_S) -> None:
        """Let minutes pass with so many requests a second, of which a share fails; control looks ``every_s``."""
        for _ in range(round(count * SLICE_S / every_s)):
            failed = round(per_s * every_s * share)
            await self.serve(round(per_s * every_s) - failed, failed)
            await self.clock.advance(every_s)
            await self.loop.look()

    async def letters(self) -> list[str]:
        found = await self.database.read(lambda s: list(s.scalars(select(Mail).order_by(Mail.id))))
        return [one.subject for one in found]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_database(f"sqlite:///{tmp_path / 'fairlead.sqlite3'}") as database:
        made = Stage(database, tmp_path)
        await made.add_model()
        yield made


async def test_an_outage_of_a_busy_model_is_told_within_two_minutes_and_once(stage: Stage) -> None:
    await stage.clock.advance(0.123456)
    await stage.minutes(62, 5, every_s=60)
    assert await stage.letters() == []

    await stage.minutes(2, 5, 1.0)
    assert (await stage.letters())[0] == "mood: availability alert fast (page) fires"
    (text,) = await stage.database.read(lambda s: list(s.scalars(select(Mail.text))))
    assert re.search(r"It fires since [0-9T:-]{19}Z\.", text), text
    stage.begin()
    await stage.minutes(10, 5, 1.0, every_s=30)
    assert sorted(await stage.letters()) == [
        "mood: availability alert fast (page) fires",
        "mood: availability alert medium (page) fires",
        "mood: availability alert slow (ticket) fires",
    ]


async def test_it_is_told_once_that_it_is_over_and_by_webhook_too(stage: Stage) -> None:
    await stage.minutes(10, 5, every_s=60)
    await stage.minutes(3, 5, 1.0)
    await stage.minutes(20, 5, every_s=30)

    found = await stage.letters()
    assert [one for one in found if " fast " in one] == [
        "mood: availability alert fast (page) fires",
        "mood: availability alert fast (page) is over",
    ]
    told = await stage.database.read(lambda s: list(s.scalars(select(Delivery).order_by(Delivery.created_at))))
    assert len(told) == len(found)
    assert {(one.job, one.model, one.user) for one in told} == {("", "mood", "ada")}
    assert msgspec.json.decode(told[0].body)["type"] == "slo.firing"


async def test_one_failed_request_is_told_nobody_whatever_the_traffic(stage: Stage) -> None:
    await stage.serve(0, 1)
    await stage.minutes(15, 0, every_s=60)
    await stage.serve(0, 0)

    assert await stage.letters() == []


async def test_control_that_begins_anew_knows_how_it_stands(stage: Stage) -> None:
    await stage.minutes(3, 5, 0.5)
    before = stage.loop.families()
    stage.begin()
    assert stage.loop.families() != before
    await stage.loop.look()

    said = text(stage.loop.families())
    labels = 'model="mood",objective="availability"'
    assert f'fairlead_slo_burn_rate{{{labels},window="5m"}} 500' in said
    assert f'fairlead_slo_alert{{{labels},alert="fast",severity="page"}} 1' in said
    assert f"fairlead_slo_target{{{labels}}} 0.999" in said
    assert f'fairlead_slo_events_total{{{labels},outcome="bad"}} 0' in said, "a counter begins with control"


async def test_what_was_not_called_for_long_is_not_summed_each_time(stage: Stage) -> None:
    await stage.minutes(1, 5)
    assert await stage.loop._moving(stage.clock.now()) == {"mood"}
    await stage.clock.advance(timedelta(days=4).total_seconds())

    assert await stage.loop._moving(stage.clock.now()) == set()
