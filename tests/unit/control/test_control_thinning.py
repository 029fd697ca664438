"""History is thinned out in portions, each counted once though control is killed between any two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead.buckets.obstore import open_bucket
from fairlead.control import thinning
from fairlead.control.thinning import Thinning
from fairlead.devices import readings, registry
from fairlead.devices.door import Heard
from fairlead.devices.types import Measurement
from fairlead.store.database import open_database
from fairlead.store.records import Reading, ReadingHour
from fairlead.testing.clock import ManualClock

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KIND = 'name = "meter"\nversion = "1.0.0"\n[properties.level]\ntype = "number"\n'


class Killed(Exception):
    """Stands for a kill -9: nothing of what was begun goes on."""


class Hasty(ManualClock):
    """A clock whose pauses take no time; in one of them control is killed."""

    kill_in = 0

    async def sleep(self, seconds: float) -> None:
        self.kill_in -= 1
        if self.kill_in == 0:
            raise Killed


def told(session: Session) -> None:
    registry.add_type(session, KIND, NOON, by="root")
    registry.add_location(session, "lab", NOON, by="root")
    for device in ("m1", "m2"):
        registry.add_device(session, device, NOON, by="root", type="meter", at="lab")
        for minute in range(0, 150, 15):
            at = NOON + timedelta(minutes=minute)
            heard = Heard(device, at, at, measured=(Measurement("level", minute),))
            readings.record(session, [readings.Kept(heard)], at)


def sums(session: Session) -> tuple[int, int, float]:
    """Return how many readings are left, and count and total of all hours."""
    left = session.scalar(select(func.count()).select_from(Reading)) or 0
    count, total = session.execute(select(func.sum(ReadingHour.count), func.sum(ReadingHour.total))).one()
    return left, count or 0, total or 0


async def test_a_portion_counts_once_whenever_control_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thinning, "LOOKED_FOR", 7)
    monkeypatch.setattr(thinning, "WRITTEN", 3)
    clock = Hasty(NOON + timedelta(days=31))
    async with open_database(f"sqlite:///{tmp_path / 'fairlead.db'}") as database:
        await database.write(told)
        for number in range(1, 4):
            clock.kill_in = number
            with pytest.raises(Killed):
                await Thinning(database, open_bucket("memory://"), clock, 400).once()
            left, count, _ = await database.read(sums)
            assert left + count == 20
            assert left < 20
        assert await Thinning(database, open_bucket("memory://"), clock, 400).once() == left
        assert await database.read(sums) == (0, 20, 2 * sum(range(0, 150, 15)))
        assert await Thinning(database, open_bucket("memory://"), clock, 30).once() == 0
        assert await database.read(sums) == (0, 0, 0)  # hours are kept for so many days, too
