"""What goes after a while, and that nothing goes to which something live refers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.buckets.obstore import ObstoreBucket, open_bucket
from fairlead.control.housekeeping import Housekeeping
from fairlead.ids import ulid
from fairlead.logs import retention
from fairlead.logs.retention import Old, forgettable
from fairlead.messages import Attachment
from fairlead.status import CommandStatus, DeviceStatus, JobStatus, MailStatus, RunStatus
from fairlead.store.database import Database, open_database
from fairlead.store.records import (
    App,
    AppVersion,
    Bundle,
    Command,
    Device,
    DeviceType,
    Event,
    Hold,
    Job,
    LastValue,
    Location,
    Mail,
    Reading,
    Run,
    RunState,
    ScalingDecision,
    Schedule,
    Simulation,
    Token,
    User,
)
from fairlead.supervisor.keylocks import KeyLocks
from fairlead.testing.clock import ManualClock

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=200)
LATELY = NOW - timedelta(days=2)
KEEP = 90


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path / 'a.sqlite3'}") as database:
        await database.write(_ground)
        yield database


def keeping(database: Database, bucket: ObstoreBucket | None = None, now: datetime = NOW) -> Housekeeping:
    return Housekeeping(database, bucket or open_bucket("memory://"), ManualClock(now), KeyLocks(), KEEP)


def _ground(session: Session) -> None:
    session.add_all(
        [User(name="ada", roles=("user",), created_at=NOW), Location(path="lab", zone="UTC", created_at=NOW)]
    )
    session.add(Bundle(digest="d", kind="app", name="smart", size_bytes=1, key="k", created_by="ada", created_at=NOW))
    kind = DeviceType(name="fan", version="1", major=1, source="", definition="{}", created_by="ada", created_at=NOW)
    session.add(kind)
    session.flush()
    session.add(
        Device(
            id="fan-1",
            type="fan",
            type_version="1",
            at="lab",
            password_hash="",
            status=DeviceStatus.ONLINE,
            created_by="ada",
            created_at=NOW,
        )
    )
    session.add(App(name="smart", owner="ada", created_at=NOW))
    session.flush()
    session.add(
        AppVersion(app="smart", version="1", ordinal=1, digest="d", manifest="", created_by="ada", created_at=NOW)
    )
    session.flush()
    session.add_all([schedule("sch-1"), schedule("sch-gone", removed_at=LONG_AGO)])
    session.flush()


def schedule(id: str, removed_at: datetime | None = None) -> Schedule:
    return Schedule(
        id=id,
        name=id,
        app="smart",
        at="lab",
        zone="UTC",
        created_by="ada",
        created_at=LONG_AGO,
        seen_until=NOW,
        removed_at=removed_at,
    )


def run(id: str, finished_at: datetime | None, starts_at: datetime = LONG_AGO, of: str = "sch-1") -> Run:
    return Run(
        id=id,
        app="smart",
        version="1",
        schedule=of,
        place="lab",
        status=RunStatus.SUCCEEDED if finished_at else RunStatus.READY,
        starts_at=starts_at,
        user="ada",
        created_at=starts_at,
        finished_at=finished_at,
    )


def command(id: str, finished_at: datetime | None, of: str | None = None) -> Command:
    return Command(
        id=id,
        device="fan-1",
        tier="app",
        run=of,
        status=CommandStatus.OBSERVED if finished_at else CommandStatus.SENT,
        due_at=NOW,
        created_at=LONG_AGO,
        finished_at=finished_at,
    )


def hold(of: Command, run: str | None = None) -> Hold:
    return Hold(command=of.id, property="speed", device="fan-1", value="1", tier="app", run=run, since=LONG_AGO)


def mail(status: MailStatus, at: datetime, of: str | None = None, attach: tuple[Attachment, ...] = ()) -> Mail:
    return Mail(to=("a@b",), subject="s", text="t", status=status, due_at=at, created_at=at, run=of, attach=attach)


def job(id: str, status: JobStatus, of: str | None = None, input_key: str = "", result_key: str = "") -> Job:
    return Job(
        id=id,
        model="m",
        version="1",
        status=status,
        due_at=LONG_AGO,
        run=of,
        input_key=input_key,
        result_key=result_key,
        created_by="ada",
        created_at=LONG_AGO,
        expires_at=NOW + timedelta(days=400),
    )


def event(kind: str, ref: str, at: datetime) -> Event:
    return Event(at=at, kind=kind, ref=ref, said="")


async def ids(database: Database, column: object) -> set[object]:
    return await database.read(lambda session: set(session.scalars(select(column))))  # type: ignore[call-overload]


async def test_what_ended_long_ago_goes_and_what_ended_lately_or_goes_on_stays(database: Database) -> None:
    def write(session: Session) -> None:
        session.add_all([run("run-old", LONG_AGO), run("run-new", LATELY, LATELY), run("run-live", None, NOW)])
        session.add_all([command("cmd-old", LONG_AGO), command("cmd-new", LATELY), command("cmd-open", None)])
        session.add(command("cmd-first", LONG_AGO))
        again = command("cmd-again", None)
        again.origin = "cmd-first"
        session.add(again)
        session.add_all([mail(MailStatus.SENT, LONG_AGO), mail(MailStatus.KEPT, LONG_AGO)])
        session.add_all([mail(MailStatus.WAITING, LONG_AGO), mail(MailStatus.SENT, LATELY)])
        for jti, end in (("tok-old", LONG_AGO), ("tok-new", LATELY), ("tok-live", NOW + timedelta(days=1))):
            session.add(
                Token(
                    jti=jti, user="ada", label="l", roles=(), created_at=LONG_AGO, expires_at=end, revoked_at=LONG_AGO
                )
            )
        for at, why in ((LONG_AGO, "old"), (LATELY, "new")):
            session.add(ScalingDecision(model="m", version="1", at=at, was=1, wanted=2, rule="queue", why=why))
        session.add(RunState(schedule="sch-gone", key="k", value=b"1", version=1, at=LONG_AGO))

    await database.write(write)

    await keeping(database).once()

    assert await ids(database, Run.id) == {"run-new", "run-live"}
    assert await ids(database, Command.id) == {"cmd-new", "cmd-open", "cmd-first", "cmd-again"}
    assert await ids(database, Mail.status) == {MailStatus.WAITING, MailStatus.SENT}
    assert len(await ids(database, Mail.id)) == 2
    assert await ids(database, Token.jti) == {"tok-new", "tok-live"}
    assert await ids(database, Schedule.id) == {"sch-1"}
    assert await ids(database, ScalingDecision.why) == {"new"}
    assert await ids(database, RunState.key) == set()


async def test_the_journal_keeps_the_newest_of_what_is_there_and_nothing_old_of_what_is_gone(
    database: Database,
) -> None:
    def write(session: Session) -> None:
        session.add_all([run("run-old", LONG_AGO), run("run-live", None, NOW)])
        for kind, ref in (("device", "fan-1"), ("run", "run-old"), ("run", "run-live"), ("token", "tok-gone")):
            session.add_all([event(kind, ref, LONG_AGO), event(kind, ref, LONG_AGO)])
        session.add_all([event("version", "m@1", LONG_AGO), event("version", "m@1", LATELY)])

    await database.write(write)

    await keeping(database).once()

    left = await database.read(lambda session: [(e.kind, e.ref) for e in session.scalars(select(Event))])
    assert sorted(left) == [("device", "fan-1"), ("run", "run-live"), ("version", "m@1")]


async def test_more_than_a_batch_goes_in_one_go(database: Database) -> None:
    count = 2 * retention.BATCH + 1
    await database.write(lambda session: session.add_all(event("device", "fan-1", LONG_AGO) for _ in range(count)))

    counts = await keeping(database).once()

    assert counts["event"] == count - 1


@pytest.mark.parametrize("seed", range(8))
async def test_nothing_goes_to_which_something_refers(database: Database, seed: int) -> None:
    """Any mix of runs, commands, claims, jobs and mails: afterwards no reference leads nowhere that led somewhere."""
    chance = Random(seed)
    when = [None, LONG_AGO, LATELY]

    def write(session: Session) -> None:
        runs = [run(f"run-{n}", chance.choice(when), LONG_AGO + timedelta(hours=n)) for n in range(12)]
        session.add_all(runs)
        session.flush()
        some = [None, *(each.id for each in runs)]
        commands = [command(f"cmd-{n}", chance.choice(when), chance.choice(some)) for n in range(20)]
        session.add_all(commands)
        session.flush()
        session.add_all(hold(each, each.run) for each in commands if chance.random() < 0.3)
        session.add_all(job(f"job-{n}", chance.choice(list(JobStatus)), chance.choice(some)) for n in range(5))
        for _ in range(8):
            status, at = chance.choice([MailStatus.WAITING, MailStatus.SENT]), chance.choice([LONG_AGO, LATELY])
            session.add(mail(status, at, chance.choice(some)))

    await database.write(write)
    live = await database.read(lambda s: set(s.scalars(select(Run.id).where(Run.finished_at.is_(None)))))
    holding = await ids(database, Hold.command)

    await keeping(database).once()

    runs, commands = await ids(database, Run.id), await ids(database, Command.id)
    assert live <= runs
    assert holding <= commands
    for column in (Hold.run, Command.run, Job.run, Mail.run):
        assert await ids(database, column) - {None} <= runs


def test_of_a_gone_thing_all_events_go_of_another_all_but_the_newest() -> None:
    old = [Old(1, "run", "run-1", False), Old(2, "run", "run-1", True), Old(3, "run", "run-2", True)]

    assert forgettable(old, {"run": {"run-1"}}) == [1, 2]
    assert forgettable(old, {}) == [1]


async def test_objects_that_no_record_names_go_after_a_day(database: Database) -> None:
    bucket = open_bucket("memory://")
    kept = {
        "bundles/k.zip",
        "in/m/job-1/body",
        "out/m/job-1/3",
        "out/m/job-2/7",
        "mail/run-1/u/a.png",
        "files/sch-1/a.csv",
        f"media/fan-1/image/{ulid()}.jpg",
        "media/fan-1/image/held-back.jpg",
        "media/fan-1/image/newest.jpg",
        "simulated/a.jpg",
    }
    lost = {
        "bundles/refused.zip",
        "in/m/job-none/body",
        "out/m/job-1/2",
        "mail/run-1/u/b.png",
        "files/sch-gone/a.csv",
        "files/sch-never/a.csv",
        "media/fan-1/x",
        f"media/fan-1/image/{ulid()}.jpg",
        "simulated/b.jpg",
    }
    shown = [key for key in kept if key.startswith("media/")]
    for key in kept | lost:
        await bucket.put(key, b"x")

    def write(session: Session) -> None:
        session.add(
            Bundle(
                digest="e", kind="app", name="x", size_bytes=1, key="bundles/k.zip", created_by="ada", created_at=NOW
            )
        )
        session.add(job("job-1", JobStatus.SUCCEEDED, input_key="in/m/job-1/body", result_key="out/m/job-1/3"))
        session.add(job("job-2", JobStatus.RUNNING))
        attached = (Attachment(name="a.png", content_type="image/png", key="mail/run-1/u/a.png"),)
        session.add(mail(MailStatus.WAITING, LATELY, "run-1", attached))
        for key in shown:
            at = today if "newest" not in key and "held" not in key else LONG_AGO
            if "newest" in key:
                session.add(LastValue(device="fan-1", property="image", value="null", at=at, media_key=key))
            else:
                session.add(Reading(device="fan-1", property="image", at=at, value=f'"{key}"'))
        media = {"fan-1": ("simulated/a.jpg",)}
        session.add(Simulation(at="lab", speed=1, created_by="ada", created_at=NOW, media=media))

    today = datetime.now(UTC)
    await database.write(write)

    await keeping(database, bucket, today).once()
    assert {
        entry.key async for entry in bucket.list()
    } == kept | lost  # they may have been written for a record to come

    await keeping(database, bucket, today + timedelta(days=2)).once()
    assert {entry.key async for entry in bucket.list()} == kept


async def test_an_orphan_that_is_being_pushed_again_stays(database: Database) -> None:
    bucket, locks = open_bucket("memory://"), KeyLocks()
    key = "bundles/again.zip"
    await bucket.put(key, b"x")
    later = datetime.now(UTC) + timedelta(days=2)
    keeping = Housekeeping(database, bucket, ManualClock(later), locks, KEEP)
    row = Bundle(digest="e", kind="app", name="x", size_bytes=1, key=key, created_by="ada", created_at=NOW)
    async with locks.holding(key):
        cleaning = asyncio.create_task(keeping.once())
        async with asyncio.timeout(30):
            while locks.waiting(key) < 2:
                await asyncio.sleep(0.01)
        await database.write(lambda session: session.add(row))
    await cleaning

    assert [entry.key async for entry in bucket.list()] == [key]
    assert locks.waiting(key) == 0
