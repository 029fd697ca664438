"""What the database promises, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import MetaData, create_engine, func, inspect, select, text, update
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session
from tests import plans

from fairlead import ids
from fairlead.accounts.policy import SYSTEM
from fairlead.apps import asks, ground, plan, replacing, runs, stepping, versions, wanted
from fairlead.bundles import manifest
from fairlead.control import runflow
from fairlead.devices import commands, readings, registry, thinning, trends
from fairlead.devices.door import Ack, Heard
from fairlead.devices.sums import Sum
from fairlead.devices.types import Measurement
from fairlead.errors import Busy, Conflict, Error, Invalid, Unavailable
from fairlead.jobs import orders, queries
from fairlead.jobs import service as jobs
from fairlead.jobs.service import Asked, Began, Ended, Result, Submission
from fairlead.logs import retention
from fairlead.messages import CommandAsk, EnvironmentSpec, Prepared, RunReport
from fairlead.models.pushed import Pushed
from fairlead.schedules import opening
from fairlead.schedules import service as schedules
from fairlead.schedules.check import Wanted
from fairlead.status import CommandStatus, JobStatus, RunStatus
from fairlead.store import lookup, migrate
from fairlead.store.database import READING_MAX, Database, open_database
from fairlead.store.move import move_to
from fairlead.store.records import Base, Command, Event, Job, Run, Schedule, Token, User
from fairlead.store.rows import among, table_of, update_each
from fairlead.testing import postgres

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
THERMOMETER = """
name = "thermometer"
version = "1.0.0"
[properties.temperature]
type = "number"
[properties.open]
type = "boolean"
"""
FAN = """
name = "fan"
version = "1.0.0"
[properties.on]
type = "boolean"
access = "rw"
safe = false
"""
_names = (f"t{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def postgres_folder() -> Iterator[Path]:
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.server() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'fairlead.sqlite3'}"
    folder: Path = request.getfixturevalue("postgres_folder")
    name = next(_names)
    with psycopg.connect(host=str(folder), user="fairlead", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://fairlead@/{name}?host={folder}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with open_database(url) as opened:
        yield opened


def user(name: str) -> User:
    return User(name=name, roles=("user",), created_at=NOW)


def job(id: str) -> Job:
    return Job(id=id, model="m", version="1", due_at=NOW, created_by="ada", created_at=NOW, expires_at=NOW)


def add(record: Base):  # type: ignore[no-untyped-def]
    return lambda session: session.add(record)


async def names(database: Database) -> list[str]:
    return await database.read(lambda session: list(session.scalars(select(User.name).order_by(User.name))))


async def test_many_are_set_by_one_statement_each_to_its_own(database: Database) -> None:
    table = table_of(User)
    moments = {name: NOW + timedelta(seconds=number, microseconds=7) for number, name in enumerate(("ada", "zoe"))}
    for name in (*moments, "mia"):
        await database.write(add(user(name)))
    await database.write(lambda session: update_each(session, table.c.name, table.c.created_at, moments))
    found = await database.read(lambda session: {one.name: one.created_at for one in session.scalars(select(User))})
    assert found == moments | {"mia": NOW}


async def test_many_are_looked_for_by_one_value(database: Database) -> None:
    for name in ("ada", "bob", "o'hara", "zoë"):
        await database.write(add(user(name)))
    wanted = ["o'hara", "zoë", "nobody", *(f"x{number}" for number in range(70_000))]
    query = select(User.name).order_by(User.name)
    users = table_of(User)
    found = await database.read(
        lambda session: session.scalars(query.where(among(session, users.c.name, wanted))).all()
    )
    assert found == ["o'hara", "zoë"]
    assert (
        await database.read(lambda session: session.scalars(query.where(among(session, users.c.name, ()))).all()) == []
    )


async def test_what_was_written_is_read_and_survives_closing(url: str) -> None:
    async with open_database(url) as database:
        await database.write(add(user("ada")))
    async with open_database(url) as database:
        found = await database.read(lambda session: session.get(User, "ada"))
    assert found is not None
    assert found.roles == ("user",)
    assert found.created_at == NOW
    assert found.created_at.utcoffset() == timedelta(0)


async def test_moments_come_back_in_utc_and_naive_ones_are_refused(database: Database) -> None:
    berlin = datetime.fromisoformat("2026-07-01T12:00:00.000001+02:00")
    await database.write(add(User(name="ada", roles=(), created_at=berlin)))
    found = await database.read(lambda session: session.get(User, "ada"))
    assert found is not None
    assert found.created_at == berlin
    assert found.created_at.tzinfo is UTC
    with pytest.raises(StatementError, match="offset from UTC"):
        await database.write(add(User(name="bob", roles=(), created_at=datetime(2026, 1, 1))))


async def test_of_many_writes_at_once_only_those_that_fail_fail(database: Database) -> None:
    def write(number: int):  # type: ignore[no-untyped-def]
        def run(session: Session) -> int:
            session.add(user(f"u{number:02}"))
            session.flush()
            if number % 3 == 0:
                raise Invalid(f"no {number}")
            return number

        return run

    results = await asyncio.gather(*(database.write(write(n)) for n in range(30)), return_exceptions=True)
    for number, result in enumerate(results):
        if number % 3 == 0:
            assert isinstance(result, Invalid)
        else:
            assert result == number
    assert await names(database) == [f"u{n:02}" for n in range(30) if n % 3]


async def test_joined_writes_run_together_and_fail_alone(database: Database) -> None:
    sizes: list[int] = []

    def add_all(session: Session, numbers: Sequence[int]) -> list[int | Error]:
        sizes.append(len(numbers))
        good = [number for number in numbers if number % 3]
        session.add_all([user(f"u{number:02}") for number in good])
        session.flush()
        return [number if number % 3 else Invalid("no") for number in numbers]

    results = await asyncio.gather(*(database.write_joined(add_all, n) for n in range(30)), return_exceptions=True)
    assert [n for n, result in enumerate(results) if isinstance(result, Invalid)] == list(range(0, 30, 3))
    assert max(sizes) > 1
    assert await names(database) == [f"u{n:02}" for n in range(30) if n % 3]


async def test_one_that_breaks_a_joined_write_fails_alone(database: Database) -> None:
    def add_all(session: Session, who: Sequence[str]) -> list[str]:
        session.add_all([user(name) for name in who])
        session.flush()
        return list(who)

    await database.write(add(user("bob")))
    results = await asyncio.gather(
        *(database.write_joined(add_all, name) for name in ("ada", "bob", "eve")), return_exceptions=True
    )
    assert [type(result) for result in results] == [str, Conflict, str]
    assert await names(database) == ["ada", "bob", "eve"]


async def test_many_who_submit_at_once_get_a_job_for_each_key_and_all_is_as_it_was_asked(database: Database) -> None:
    at = [NOW + timedelta(milliseconds=number) for number in range(300)]
    asked = [
        Asked(SYSTEM, Submission(model="faces", version="4", body=bytes([number % 256]), **more), at[number])
        for number in range(300)
        for more in ({}, {"idempotency_key": f"k{number // 3 * 3}"})
    ]
    outcomes = await asyncio.gather(
        *(database.write_joined(jobs.submit_all, one) for one in asked), return_exceptions=True
    )
    refused = [one for one in outcomes if isinstance(one, Exception)]
    assert {getattr(one, "code", "") for one in refused} == {"idempotency_key_reused"}
    assert len(refused) == 200, "of three with one key and other bodies the first is kept"
    given = {one.job.id: what for one, what in zip(outcomes, asked, strict=True) if not isinstance(one, Exception)}
    kept = await database.read(lambda session: queries.list_of(session, SYSTEM, limit=500))
    whole = await database.read(lambda session: [queries.get(session, SYSTEM, job.id) for job in kept])
    assert len(kept) == len(given) == 400
    for job in whole:
        what = given[job.id]
        assert (job.body, job.created_at, job.due_at) == (what.submission.body, what.now, what.now)
        assert (job.status, job.idempotency_key) == (JobStatus.QUEUED, what.submission.idempotency_key)


async def test_what_is_only_kept_in_a_ledger_has_nobody_look_at_all_records(database: Database) -> None:
    before = database.written
    await database.write(add(job("job-1")))
    assert database.written == before
    await database.write(add(user("ada")))
    assert database.written > before


async def test_jobs_live_on_every_database(database: Database) -> None:
    asked = Submission(model="faces", version="4", body=b"\x00\xff", idempotency_key="k")
    submitted = await asyncio.gather(
        *(database.write_joined(jobs.submit_all, Asked(SYSTEM, asked, NOW)) for _ in range(5))
    )
    assert len({one.job.id for one in submitted}) == 1
    assert [one.again for one in submitted].count(False) == 1
    due = await database.read(lambda session: orders.due(session, NOW))
    ((id,),) = due.heads.values()
    (order,) = await database.write(lambda session: orders.order_all(session, {id: "local"}, NOW))
    assert await database.read(lambda session: orders.on_node(session, "local")) == {id: 1}
    assert order.body == b"\x00\xff"
    took = [database.write_joined(jobs.begin_all, Began(id, 1, replica, NOW)) for replica in ("a", "b")]
    assert sorted(await asyncio.gather(*took)) == [False, True]
    ends = [database.write_joined(jobs.end_all, Ended(id, 1, Result(body), NOW, 0.5)) for body in (b"1", b"2")]
    ended = await asyncio.gather(*ends)
    assert [one is None for one in ended] == [False, True]
    done = await database.read(lambda session: queries.get(session, SYSTEM, id[:-3]))
    assert (done.status, done.result, done.attempts) == (JobStatus.SUCCEEDED, b"1", 1)
    far = NOW + timedelta(days=30)
    assert await database.write(lambda session: orders.sweep(session, far, 0.5)) == []
    over = await database.read(lambda session: queries.over(session, far))
    await database.write(lambda session: queries.forget(session, over.jobs, far))
    assert await database.read(lambda session: queries.list_of(session, SYSTEM)) == []
    assert await database.read(lambda session: orders.due(session, far)) == orders.Due()


async def test_steps_of_a_history_are_the_same_on_every_database(database: Database) -> None:
    """Before readings become hours, while they do, and after; also of moments with a fraction."""

    def say(session: Session) -> None:
        registry.add_type(session, THERMOMETER, NOW, by="root")
        registry.add_location(session, "lab", NOW, by="root")
        registry.add_device(session, "t1", NOW, by="root", type="thermometer", at="lab")
        for number in range(30):
            at = NOW + timedelta(seconds=400 * number, milliseconds=700)
            told = (Measurement("temperature", number / 4), Measurement("open", number % 3 == 0))
            readings.record(session, [readings.Kept(Heard("t1", at, at, measured=told))], at)

    await database.write(say)
    now, ever = NOW + timedelta(days=40), NOW - timedelta(days=1)

    async def steps() -> list[list[tuple[datetime, Sum]]]:
        wanted = trends.asked(3600, NOW, NOW + timedelta(days=1), None, now)
        names = ("temperature", "open")
        return [await database.read(partial(_steps, name=name, wanted=wanted)) for name in names]

    before = await steps()
    (at, one), *_ = before[0]
    assert (len(before[0]), at, one.count, one.last) == (4, NOW.replace(hour=17, minute=0), 3, "7.25")
    for limit in (13, 100):
        old = await database.read(partial(thinning.old, now=now, limit=limit))
        await database.write(partial(thinning.thin, ids=old.ids, since=ever))
        assert await steps() == before
    assert await database.read(partial(thinning.old, now=now, limit=1)) == thinning.Old()
    assert await database.write(partial(thinning.forget_hours, before=NOW))
    assert not await database.write(partial(thinning.forget_hours, before=NOW))


def _steps(session: Session, name: str, wanted: trends.Asked) -> list[tuple[datetime, Sum]]:
    return list(trends.look(session, "t1", name, wanted, choices=name == "open"))


async def test_of_two_who_claim_the_same_schedules_one_opens_each_window(database: Database, url: str) -> None:
    """While the first still writes, the second does what is left: at once on PostgreSQL, on SQLite after the first."""
    early, late = [f"early-{number}" for number in range(3)], [f"late-{number}" for number in range(3)]

    def ready(session: Session) -> None:
        session.add(User(name="ada", roles=("user",), created_at=NOW))
        session.flush()
        registry.add_location(session, "lab", NOW, by="root")
        parsed = manifest.parse('kind = "app"\nname = "cool"\n[run]\nentry = "app:app"\n')
        assert isinstance(parsed, manifest.AppManifest)
        pushed = Pushed(manifest=parsed, environment=EnvironmentSpec(), digest="d1", key="bundles/d1.zip", size_bytes=9)
        versions.register(session, pushed, NOW, by="ada")
        versions.prepared(session, Prepared("app", "cool", "1", "d1", "done"), NOW)
        for name in (*early, *late):
            at = NOW + timedelta(minutes=1 if name in early else 2)
            once = Wanted(app="cool", at="lab", name=name, once_from=at, once_to=at + timedelta(hours=1))
            schedules.add(session, once, NOW, by="ada")

    await database.write(ready)
    claimed, go_on = threading.Event(), threading.Event()

    def first(session: Session) -> list[str]:
        opened = _opened(session, NOW + timedelta(minutes=1))
        claimed.set()
        assert go_on.wait(30)
        return opened

    async with open_database(url) as other, asyncio.timeout(60):
        one = asyncio.create_task(database.write(first))
        assert await asyncio.to_thread(claimed.wait, 30)
        two = asyncio.create_task(other.write(partial(_opened, now=NOW + timedelta(minutes=2))))
        if not database.is_sqlite:
            await asyncio.wait([two])  # it waits for nobody
        go_on.set()
        assert (await one, await two) == (early, late)
        both = await asyncio.gather(
            *(each.write(partial(_opened, now=NOW + timedelta(minutes=3))) for each in (database, other))
        )
    assert both == [[], []]
    assert await database.read(lambda session: session.scalar(select(func.count()).select_from(Run))) == 6


def _opened(session: Session, now: datetime) -> list[str]:
    runs = opening.fire(session, now)
    session.flush()
    return [session.get_one(Schedule, run.schedule).name for run in runs]


async def test_a_clash_is_a_conflict_and_leaves_its_neighbors_alone(database: Database) -> None:
    results = await asyncio.gather(
        *(database.write(add(user(name))) for name in ("ada", "ada", "bob")), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), Conflict, type(None)]
    assert await names(database) == ["ada", "bob"]


async def test_foreign_keys_hold(database: Database) -> None:
    token = Token(jti="tok-1", user="nobody", label="x", roles=(), created_at=NOW, expires_at=NOW)
    with pytest.raises(Conflict):
        await database.write(add(token))


async def test_a_status_that_is_none_is_refused_by_the_database(database: Database) -> None:
    await database.write(add(job("job-1")))
    with pytest.raises(Conflict):
        await database.write(lambda session: session.execute(text("UPDATE jobs SET status = 'lost'")))


async def test_a_written_record_can_be_read_after_its_session_even_if_a_neighbor_failed(database: Database) -> None:
    def make(session: Session) -> Event:
        record = job("job-1")
        session.add(record)
        return move_to(session, record, JobStatus.RUNNING, "began", NOW)

    def fail(session: Session) -> None:
        found = session.get(Job, "job-1")
        if found is not None:
            found.reason = "never"
        raise Invalid("no")

    event, failure = await asyncio.gather(database.write(make), database.write(fail), return_exceptions=True)
    assert isinstance(failure, Invalid)
    assert isinstance(event, Event)
    assert (event.id, event.kind, event.ref, event.status_to) == (1, "job", "job-1", "running")
    found = await database.read(lambda session: session.get(Job, "job-1"))
    assert found is not None
    assert found.reason == "began"


async def test_readers_cannot_write(database: Database) -> None:
    def sneak(session: Session) -> None:
        session.execute(text("DELETE FROM users"))

    with pytest.raises(Error):
        await database.read(sneak)


async def test_an_illegal_move_changes_nothing(database: Database) -> None:
    await database.write(add(job("job-1")))

    def back(session: Session) -> None:
        found = session.get_one(Job, "job-1")
        move_to(session, found, JobStatus.SUCCEEDED, "no", NOW)

    with pytest.raises(Conflict) as refused:
        await database.write(back)
    assert refused.value.code == "illegal_move"
    assert await database.read(lambda session: list(session.scalars(select(Event)))) == []


async def test_rows_tell_how_many_an_update_met(database: Database) -> None:
    await database.write(add(job("job-1")))

    def fenced(session: Session) -> int:
        return session.execute(update(Job).where(Job.epoch == 7).values(reason="x")).rowcount

    assert await database.write(fenced) == 0


async def test_the_migrations_make_exactly_the_records_tables(database: Database, url: str, tmp_path: Path) -> None:
    def tables(connection) -> dict[str, object]:  # type: ignore[no-untyped-def]
        found = inspect(connection)
        return {
            name: (
                [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(name)],
                found.get_pk_constraint(name),
                sorted(found.get_foreign_keys(name), key=str),
                sorted(found.get_unique_constraints(name), key=str),
                sorted(found.get_check_constraints(name), key=str),
                sorted(
                    [
                        {key: str(value) for key, value in index["dialect_options"].items()}
                        | {"is": index["name"]}
                        | {"columns": index["column_names"], "unique": index["unique"]}
                        for index in found.get_indexes(name)
                    ],
                    key=str,
                ),
            )
            for name in found.get_table_names()
            if name != "alembic_version"
        }

    migrated = create_engine(database.url)
    with migrated.connect() as connection:
        by_migrations = tables(connection)
        everything = MetaData()
        everything.reflect(connection)
    with migrated.begin() as connection:
        everything.drop_all(connection)
        Base.metadata.create_all(connection)
    with migrated.connect() as connection:
        by_records = tables(connection)
    migrated.dispose()
    assert by_migrations == by_records


async def test_a_newer_schema_is_refused(url: str, database: Database) -> None:
    await database.write(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(Conflict) as refused:
        async with open_database(url):
            pass
    assert refused.value.code == "schema_newer"
    assert migrate.head() in refused.value.message


async def test_a_lost_database_is_never_created_anew(url: str, tmp_path: Path) -> None:
    marker = tmp_path / "installed"
    async with open_database(url, marker):
        pass
    assert marker.exists()
    async with open_database(url, marker):
        pass
    lost = url.replace("fairlead.sqlite3", "gone.sqlite3")
    if lost == url:
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        engine.dispose()
    with pytest.raises(Unavailable) as refused:
        async with open_database(lost, marker):
            pass
    assert refused.value.code == "database_missing"
    assert not (tmp_path / "gone.sqlite3").exists()


async def test_a_migration_that_fails_leaves_nothing_behind(url: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (name TEXT)"))
    with pytest.raises(Unavailable):
        async with open_database(url):
            pass
    assert inspect(engine).get_table_names() == ["users"]
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE users"))
    engine.dispose()
    async with open_database(url) as database:
        assert await names(database) == []


async def test_a_server_that_hangs_up_is_asked_again(database: Database, postgres_folder: Path) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no server")
    await database.write(add(user("ada")))
    with psycopg.connect(host=str(postgres_folder), user="fairlead", dbname="postgres") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database.url.database,)
        )
    await database.write(add(user("bob")))
    assert await names(database) == ["ada", "bob"]


async def test_a_statement_that_the_driver_refuses_takes_no_other_write_with_it(tmp_path: Path) -> None:
    held, calls = threading.Event(), []

    def broken(session: Session) -> None:
        calls.append(1)
        session.execute(text("SELECT * FROM nowhere"))  # an OperationalError of SQLite, the same each time

    async with open_database(f"sqlite:///{tmp_path / 'a.sqlite3'}") as database:
        first = asyncio.ensure_future(database.write(lambda session: held.wait(30)))
        group = [database.write(add(user("ada"))), database.write(broken), database.write(add(user("bob")))]
        waiting = [asyncio.ensure_future(one) for one in group]
        await asyncio.sleep(0)
        held.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        await first
        assert [type(one) for one in outcomes] == [type(None), Unavailable, type(None)]
        assert len(calls) == 1
        assert await names(database) == ["ada", "bob"]


async def test_a_copy_is_whole_while_work_goes_on(tmp_path: Path) -> None:
    copied = tmp_path / "copy.sqlite3"
    async with open_database(f"sqlite:///{tmp_path / 'fairlead.sqlite3'}") as database:
        await database.write(add(user("ada")))
        await asyncio.gather(database.copy_to(copied), *(database.write(add(user(f"u{n}"))) for n in range(20)))
        with pytest.raises(Invalid):
            await database.copy_to(copied)
    async with open_database(f"sqlite:///{copied}") as database:
        assert "ada" in await names(database)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".new")] == []


async def test_a_closed_database_takes_nothing_more_but_finishes_what_waits(url: str) -> None:
    async with open_database(url) as database:
        waiting = [asyncio.ensure_future(database.write(add(user(f"u{n}")))) for n in range(20)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    with pytest.raises(Unavailable):
        await database.write(add(user("late")))
    async with open_database(url) as database:
        assert len(await names(database)) == 20


async def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "fairlead.sqlite3"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(Unavailable) as refused:
        async with open_database(f"sqlite:///{path}"):
            pass
    assert refused.value.code == "database_damaged"


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name"])
async def test_a_url_of_no_known_database_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        async with open_database(url):
            pass
    assert refused.value.code == "store_url"


async def test_requests_beyond_the_bound_of_reads_are_refused_and_counted(database: Database) -> None:
    held, may_end = threading.Event(), threading.Event()

    def slow(session: Session) -> int:
        held.set()
        assert may_end.wait(30)
        return 1

    reading = [asyncio.create_task(database.read(slow)) for _ in range(READING_MAX)]
    await asyncio.to_thread(held.wait, 30)
    with pytest.raises(Busy) as refused:
        await database.read(slow, may_refuse=True)
    own = asyncio.create_task(database.read(slow))  # a loop of the platform waits
    may_end.set()
    assert (refused.value.code, database.refused["read"]) == ("store_busy", 1)
    assert await own == 1
    assert sum(await asyncio.gather(*reading)) == READING_MAX
    assert await database.read(slow, may_refuse=True) == 1


async def test_a_full_disk_is_said_and_heals_without_a_restart(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'fairlead.sqlite3'}") as database:
        limit = "PRAGMA max_page_count = {}"
        await database.write(lambda session: session.execute(text(limit.format(1))).all())
        big = User(name="big", password_hash="x" * 1_000_000, roles=(), created_at=NOW)
        with pytest.raises(Unavailable) as refused:
            await database.write(add(big))
        assert refused.value.code == "disk_full"
        await database.write(lambda session: session.execute(text(limit.format(1_000_000))).all())
        await database.write(add(user("ada")))
        assert await names(database) == ["ada"]


async def test_moves_count_and_are_told_once_they_are_committed(database: Database) -> None:
    def made(session: Session) -> None:
        submitted = jobs.submit(session, SYSTEM, Submission(model="m", version="1", body=b"1"), NOW)
        jobs.cancel(session, SYSTEM, submitted.job, NOW)

    told: list[tuple[str, str]] = []
    database.on_moved = told.extend

    def undone(session: Session) -> None:
        made(session)
        raise Invalid("no")

    await database.write(made)
    with pytest.raises(Invalid):
        await database.write(undone)
    await database.write(made)

    assert database.moves == {("job", "canceled", "m"): 2}
    canceled = await database.read(lambda session: set(session.scalars(select(Job.id))))
    assert set(told) == {("job", job) for job in canceled}
    assert len(told) == 2


def _house_of_the_past(session: Session) -> None:
    """Write an app with a fan, of which hundreds of runs and commands are long over."""
    session.add(User(name="ada", roles=("user",), created_at=NOW))
    session.flush()
    registry.add_type(session, FAN, NOW, by="root")
    registry.add_location(session, "lab", NOW, by="root")
    registry.add_device(session, "fan-1", NOW, by="root", type="fan", at="lab")
    parsed = manifest.parse('kind = "app"\nname = "cool"\n[run]\nentry = "a:a"\n[devices]\nfan = { type = "fan" }\n')
    assert isinstance(parsed, manifest.AppManifest)
    pushed = Pushed(manifest=parsed, environment=EnvironmentSpec(), digest="d1", key="bundles/d1.zip", size_bytes=9)
    versions.register(session, pushed, NOW, by="ada")
    versions.prepared(session, Prepared("app", "cool", "1", "d1", "done"), NOW)
    schedule = schedules.run_once(session, Wanted(app="cool", at="lab", name="now"), NOW, by="ada")
    for number in range(300):
        moment = NOW - timedelta(minutes=number + 1)
        over: dict[str, Any] = {"created_at": moment, "finished_at": moment}
        run = f"run-{number:026d}"
        session.add(
            Run(
                id=run, app="cool", version="1", schedule=schedule.id, place="lab", user="ada", starts_at=moment, **over
            )
        )
        session.add(Command(id=f"cmd-{number:026d}", device="fan-1", tier="app", run=run, due_at=moment, **over))
    session.flush()


def _hot(session: Session) -> None:
    """Do once what is done all the time."""
    name = str
    said = partial(Heard, "fan-1", NOW, NOW)
    readings.record(session, [readings.Kept(said(online=True))], NOW)
    opening.fire(session, NOW)
    run = session.scalars(select(Run).where(Run.finished_at.is_(None))).one()
    stepping.step(session, {}, NOW, name)
    stepping.step(session, {run.id: plan.Seen(RunReport(run.id, RunStatus.READY))}, NOW, name)
    asked = asks.command(session, CommandAsk(run.id, "fan", "fan-1", {"on": True}), NOW).command
    readings.record(session, [readings.Kept(said(ack=Ack(asked.id, "delivered")))], NOW)
    readings.record(session, [readings.Kept(said(measured=(Measurement("on", True),)))], NOW)
    assert asked.status is CommandStatus.OBSERVED
    readings.record(session, [readings.Kept(said(online=False))], NOW)
    replacing.look(session, NOW, replacing.look(session, NOW, None))
    replacing.replace_gone(session, NOW + timedelta(minutes=1))
    readings.record(session, [readings.Kept(said(online=True))], NOW)
    commands.sweep(session, NOW + timedelta(minutes=1))
    commands.next_at(session)
    wanted.runs(session)
    wanted.pages(session)
    ground.ground_of(session)
    assert len(runs.list_runs(session, SYSTEM)) == 100
    assert len(runs.list_runs(session, SYSTEM, live=True)) == 1
    assert len(runs.list_runs(session, SYSTEM, app="cool")) == 100
    runs.list_runs(session, SYSTEM, schedule=run.schedule, limit=1)
    runs.page_of(session, SYSTEM, "cool")
    assert len(commands.list_commands(session, "fan-1")) == 100
    assert commands.list_commands(session, run=run.id)
    for record, ref in ((Run, run.id), (Command, asked.id), (Job, "job-01k9")):
        assert lookup.unique(session, record, ref[:-1]) is None or record is not Job
        assert lookup.unique(session, record, ids.new(ref[:3])) is None
    for kind in retention.KINDS:
        if kind.name == "command":
            retention.over(session, kind, NOW - timedelta(days=90))
    runs.stop(session, run.id, NOW, by="ada")
    stepping.step(session, {}, NOW, name)
    list(runflow._stopped(session, (), {}))
    stepping.step(session, {run.id: plan.Seen(since_stop=True)}, NOW, name)
    assert run.finished_at


async def test_nothing_that_is_done_all_the_time_reads_what_is_long_over(database: Database) -> None:
    await database.write(_house_of_the_past)
    if not database.is_sqlite:  # where nobody may have measured the tables
        await database.write(lambda session: session.execute(text("ANALYZE")))

    def hot(session: Session) -> list[plans.Access]:
        with plans.watched(session) as found:
            _hot(session)
        return found

    found = await database.write(hot)
    assert {"commands", "runs"} < {one.table for one in found}
    assert {one.told for one in found if one.is_bad} == set()
