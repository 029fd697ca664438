"""What the records promise of objectives, on SQLite and on PostgreSQL: counted once, summed over windows, folded."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tests.contract.test_store import NOW, database, postgres_folder, url, user  # noqa: F401 - fixtures

from fairlead.bundles.manifest import ModelManifest, ModelRun, Slo
from fairlead.bundles.shapes import Scale
from fairlead.messages import ErrorInfo, Sliced, SlicesTold, Target
from fairlead.objectives import service, slices
from fairlead.objectives.burn import Counts, Objective, Sli, Told
from fairlead.objectives.slices import Asked
from fairlead.status import JobStatus, VersionStatus
from fairlead.store.database import Database
from fairlead.store.records import Alias, Bundle, Job, Model, ModelVersion, SloAlert, SloSlice, SloTarget

MINUTE = 60
HERE = int(NOW.timestamp()) // MINUTE * MINUTE
LATENCY = Asked("mood", Objective(Sli.LATENCY, 0.9))
SLO = Slo(latency_ms=100, percentile=90, availability=99)


def told(*found: Sliced, source: str = "slo-1", span_s: int = MINUTE) -> SlicesTold:
    return SlicesTold("here", source, span_s, found)


def one(minutes_ago: int = 0, answered: int = 10, failed: int = 0, slow: int = 0, version: str = "1") -> Sliced:
    return Sliced("mood", version, HERE - minutes_ago * MINUTE, answered, failed, slow)


def manifest(slo: Slo | None = SLO) -> str:
    run = ModelRun(entry="m:M")
    made = ModelManifest(kind="model", name="mood", run=run, slo=slo, scale=Scale(drain_s=10))
    return msgspec.json.encode(made).decode()


def add_model(session: Session, slo: Slo | None = SLO) -> None:
    session.add(user("ada"))
    session.flush()
    session.add(Model(name="mood", owner="ada", created_at=NOW))
    session.add(Bundle(digest="d", kind="model", name="mood", size_bytes=1, key="k", created_by="ada", created_at=NOW))
    session.flush()
    session.add(
        ModelVersion(
            model="mood",
            version="1",
            ordinal=1,
            digest="d",
            status=VersionStatus.READY,
            manifest=manifest(slo),
            created_by="ada",
            created_at=NOW,
        )
    )
    session.add(Alias(model="mood", alias="production", targets=(Target("1", 100),), moved_by="ada", moved_at=NOW))


def ended(number: int, seconds: float, status: JobStatus = JobStatus.SUCCEEDED, error: str = "") -> Job:
    """A job that ended now, so many seconds after it was accepted."""
    kind = {"invalid_input": "invalid"}.get(error, "internal")
    return Job(
        id=f"job-{number:03}",
        model="mood",
        version="1",
        status=status,
        error=ErrorInfo(error, "m", kind=kind) if error else None,
        due_at=NOW,
        created_by="ada",
        created_at=NOW - timedelta(seconds=seconds),
        finished_at=NOW,
        expires_at=NOW + timedelta(days=7),
    )


async def windows(database: Database, asked: Asked = LATENCY) -> dict[str, Counts]:  # noqa: F811
    return await database.read(lambda session: slices.windows(session, asked, NOW, MINUTE))


async def test_what_is_told_twice_late_or_out_of_order_counts_once(database: Database) -> None:  # noqa: F811
    for answered in (5, 10, 7, 10):
        grown = await database.write(lambda s, n=answered: slices.take(s, told(one(answered=n, slow=n // 5)), NOW))

    assert grown == {("mood", "availability"): (0, 0), ("mood", "latency"): (0, 0)}
    assert (await windows(database))["5m"] == Counts(10, 2, 1)


async def test_another_source_and_another_version_add_up(database: Database) -> None:  # noqa: F811
    await database.write(lambda s: slices.take(s, told(one()), NOW))
    await database.write(lambda s: slices.take(s, told(one(), source="slo-2"), NOW))
    grown = await database.write(lambda s: slices.take(s, told(one(version="2", failed=3, slow=1)), NOW))

    assert grown == {("mood", "availability"): (13, 3), ("mood", "latency"): (10, 1)}
    assert (await windows(database))["30d"] == Counts(30, 1, 0)
    versions = await database.read(lambda s: slices.by_version(s, "mood", NOW, "3d", MINUTE))
    assert versions["2", "availability"] == Counts(13, 3)
    assert versions["1", "latency"] == Counts(20, 0)


async def test_each_window_has_what_is_in_it_and_slices_that_are_bad(database: Database) -> None:  # noqa: F811
    found = [one(0, slow=2), one(4, slow=1), one(5, slow=10), one(59, slow=9), one(60, slow=9), one(24 * 60, slow=8)]
    await database.write(lambda s: slices.take(s, told(*found), NOW))

    seen = await windows(database)
    assert seen["5m"] == Counts(20, 3, 1), "one of ten is what the objective allows"
    assert seen["30m"] == Counts(30, 13, 2)
    assert seen["1h"] == Counts(40, 22, 3)
    assert seen["6h"] == Counts(50, 31, 4)
    assert seen["3d"] == seen["30d"] == Counts(60, 39, 5)


async def test_what_clocks_count_that_are_wrong_is_passed_over(database: Database) -> None:  # noqa: F811
    future, past = one(-60), one(40 * 24 * 60)
    assert await database.write(lambda s: slices.take(s, told(future, past), NOW)) == {}


async def test_hours_hold_what_their_slices_held(database: Database) -> None:  # noqa: F811
    days = 6 * 24 * 60
    found = [one(days + minute, slow=minute % 3) for minute in range(200)]
    found += [one(days + minute, slow=10, version="2") for minute in range(0, 200, 7)]
    for part in (found[:100], found[100:]):
        await database.write(lambda s, p=part: slices.take(s, told(*p), NOW))
    before = await windows(database)

    while await database.read(lambda s: slices.may_fold(s, LATENCY, NOW, MINUTE)):
        await database.write(lambda s: slices.fold(s, LATENCY, NOW, MINUTE, 2))

    assert (await windows(database))["30d"] == before["30d"]
    assert before["30d"].bad_slices > 50
    rows = await database.read(
        lambda s: s.execute(
            select(func.count(), func.min(SloSlice.span_s)).where(SloSlice.sli == Sli.LATENCY.value)
        ).one()
    )
    assert (rows[0] <= 2 * 5, rows[1]) == (True, 3600)


async def test_what_is_older_than_the_longest_window_is_forgotten(database: Database) -> None:  # noqa: F811
    await database.write(lambda s: slices.take(s, told(one()), NOW))
    assert await database.write(lambda s: slices.forget(s, NOW)) == 0

    assert await database.write(lambda s: slices.forget(s, NOW + timedelta(days=32))) == 2


async def test_jobs_count_when_they_end_and_once(database: Database) -> None:  # noqa: F811
    def write(session: Session) -> None:
        add_model(session)
        session.flush()
        slices.count_jobs(session, NOW - timedelta(seconds=60), MINUTE)
        session.add_all(
            [
                ended(1, 3),
                ended(2, 11),
                ended(3, 3, JobStatus.FAILED, "model_error"),
                ended(4, 3, JobStatus.FAILED, "invalid_input"),
                ended(5, 3, JobStatus.CANCELED),
                ended(6, 3),
            ]
        )

    await database.write(write)
    later = NOW + timedelta(seconds=30)
    assert await database.read(lambda s: slices.have_ended(s, later))
    grown = await database.write(lambda s: slices.count_jobs(s, later, MINUTE))
    assert grown == {("mood", "jobs"): (4, 2)}, "too late, failed; input that is wrong and what was canceled count not"
    assert not await database.read(lambda s: slices.have_ended(s, later))
    assert await database.write(lambda s: slices.count_jobs(s, later, MINUTE)) == {}

    asked = Asked("mood", Objective(Sli.JOBS, 0.9))
    assert (await windows(database, asked))["1h"] == Counts(4, 2, 1)


async def test_many_jobs_that_end_together_are_counted_in_parts(
    database: Database,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "TOGETHER", 7)

    def write(session: Session) -> None:
        add_model(session)
        slices.count_jobs(session, NOW - timedelta(seconds=60), MINUTE)
        for number in range(40):
            made = ended(number, 3)
            made.finished_at = NOW + timedelta(seconds=number // 4)
            session.add(made)

    await database.write(write)
    later, valid = NOW + timedelta(seconds=60), 0
    while await database.read(lambda s: slices.have_ended(s, later)):
        grown = await database.write(lambda s: slices.count_jobs(s, later, MINUTE))
        valid += grown["mood", "jobs"][0]

    assert valid == 40


async def test_an_alert_is_told_once_when_it_fires_and_once_when_it_is_over(database: Database) -> None:  # noqa: F811
    await database.write(add_model)
    await database.write(lambda s: slices.take(s, told(*(one(ago, slow=10) for ago in range(30))), NOW))

    async def judged(minutes: int) -> list[tuple[str, Told]]:
        at = NOW + timedelta(minutes=minutes)

        def write(session: Session) -> list[tuple[str, Told]]:
            found = service.standings(session, "mood", service.promised(session)["mood"], at, MINUTE)
            changes = [change for one in found for change in service.judge(session, one, at, MINUTE)]
            return [(f"{one.standing.objective.sli} {one.rule.name}", one.told) for one in changes]

        return await database.write(write)

    assert await judged(0) == [("latency fast", Told.FIRING)]
    assert await judged(1) == []
    assert await judged(6) == [], "its short window is calm, but not for long"
    assert await judged(13) == [("latency fast", Told.RESOLVED)]
    assert await judged(14) == []
    alerts = await database.read(lambda s: list(s.scalars(select(SloAlert))))
    assert [(one.name, one.resolved_at) for one in alerts] == [("fast", NOW + timedelta(minutes=13))]


async def test_what_is_kept_of_a_model_goes_with_it(database: Database) -> None:  # noqa: F811
    def write(session: Session) -> None:
        add_model(session)
        slices.take(session, told(one()), NOW)
        session.add(SloTarget(model="mood", set_by="ada", set_at=NOW))
        session.flush()
        model = session.get(Model, "mood")
        assert model is not None
        model.removed_at = NOW
        session.flush()
        service.forget(session, NOW, timedelta(days=90))

    await database.write(write)
    left = await database.read(lambda s: [*s.scalars(select(SloSlice)), *s.scalars(select(SloTarget))])
    assert left == []


async def test_all_jobs_of_one_moment_are_counted_however_many(
    database: Database,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices, "TOGETHER", 7)

    def write(session: Session) -> None:
        add_model(session)
        slices.count_jobs(session, NOW - timedelta(seconds=60), MINUTE)
        session.add_all([ended(number, 3) for number in range(20)])

    await database.write(write)
    later = NOW + timedelta(seconds=60)

    assert await database.write(lambda s: slices.count_jobs(s, later, MINUTE)) == {("mood", "jobs"): (20, 0)}
    assert not await database.read(lambda s: slices.have_ended(s, later))


async def test_what_holds_is_what_production_promises(database: Database) -> None:  # noqa: F811
    def write(session: Session) -> list[str]:
        add_model(session)
        session.flush()
        version = session.get(ModelVersion, ("mood", "1"))
        assert version is not None
        found = list(service.promised(session))
        version.manifest = manifest(None)
        session.flush()
        return [*found, "then", *service.promised(session)]

    assert await database.write(write) == ["mood", "then"]
