"""Backups: every table and every object comes back as it was, from any database to any other; broken ones are refused."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    DateTime,
    Enum,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    func,
    select,
)

from fairlead.backup import archive, tables
from fairlead.backup.restore import restore
from fairlead.backup.save import Saved, save
from fairlead.buckets.obstore import ObstoreBucket, open_bucket
from fairlead.errors import Conflict, Error, Internal, Invalid, NotFound, Unavailable
from fairlead.keeper import home as homes
from fairlead.settings import Home
from fairlead.store import migrate
from fairlead.store.database import open_database
from fairlead.store.records import Base
from fairlead.testing import postgres

ROWS = 3
MOMENT = datetime(2026, 11, 22, 0, 30, 1, 234567, tzinfo=UTC)
TEXTS = ("plain", "ünï 漢字 '\"\\", "line\nbreak\tand \u2028")
OBJECTS = {
    "bundles/abc.zip": (b"PK\x03\x04" + bytes(range(256)) * 9, "application/zip"),
    "in/faces/job-1/photo%20one.jpg": (b"\xff\xd8 picture", "image/jpeg"),
    "out/faces/job-1/1": (b'{"name": "ada"}', "application/json"),
    "files/sch-1/empty.txt": (b"", "text/plain"),
    "gallery/gal-1": (b"\x89PNG picture", "image/png"),
}


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[Callable[[], str]]:
    """Yield what makes an empty database and returns its URL."""
    if why := postgres.missing():
        pytest.skip(why)
    with postgres.server() as folder:
        made = 0

        def make() -> str:
            nonlocal made
            import psycopg

            made += 1
            with psycopg.connect(f"host={folder} user=fairlead dbname=postgres", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE house{made}")
            return f"postgresql://fairlead@/house{made}?host={folder}"

        yield make


def a_value(table: Table, column: Any, number: int) -> Any:
    today = Base.metadata.tables.get(table.name)  # None: a later program has the table no more
    known = None if today is None else today.columns.get(column.name)
    if known is not None and isinstance(known.type, Enum):
        return known.type.enums[number % len(known.type.enums)]
    if isinstance(column.type, DateTime):
        return MOMENT + timedelta(seconds=number)
    if isinstance(column.type, LargeBinary):
        return bytes([0, 255, number])
    if isinstance(column.type, Boolean):
        return number % 2 == 0
    if isinstance(column.type, Integer):
        return number + (2**40 if isinstance(column.type, BigInteger) and not column.primary_key else 1)
    if isinstance(column.type, Float):
        return number + 0.1
    return f"{number} {TEXTS[number % len(TEXTS)]}"


def fill(connection: Connection) -> dict[str, int]:
    """Put rows into every table, of every kind of value; return how many each has."""
    metadata = MetaData()
    metadata.reflect(connection)
    rows: dict[str, list[dict[str, Any]]] = {}
    for table in metadata.sorted_tables:
        if table.name == tables.VERSION:
            continue
        made = []
        for number in range(ROWS):
            row = {column.name: a_value(table, column, number) for column in table.columns}
            for key in table.foreign_keys:
                row[key.parent.name] = rows[key.column.table.name][number][key.column.name]
            if number == 1:
                row |= {column.name: None for column in table.columns if column.nullable and not column.foreign_keys}
            made.append(row)
        connection.execute(table.delete())
        connection.execute(table.insert(), made)
        rows[table.name] = made
    return {name: len(made) for name, made in rows.items()}


def a_database(url: str, revision: str) -> dict[str, int]:
    with tables.filling(url) as connection:
        tables.make(connection, revision)
        return fill(connection)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A database with rows in every table, and how many each has."""
    file = tmp_path_factory.mktemp("full") / "full.sqlite3"
    counts = a_database(sqlite(file), migrate.head())
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it in the one file
    return file, counts


@pytest.fixture
def url(full: tuple[Path, dict[str, int]], tmp_path: Path) -> str:
    """A copy of it."""
    return sqlite(shutil.copy(full[0], tmp_path / "old.sqlite3"))


@pytest.fixture
async def file(url: str, tmp_path: Path) -> Path:
    """A backup of a house with it."""
    return (await saved(tmp_path, url))[0]


async def a_bucket(folder: Path) -> ObstoreBucket:
    bucket = open_bucket(str(folder))
    for key, (data, kind) in OBJECTS.items():
        await bucket.put(key, data, kind)
    return bucket


def a_home(root: Path) -> Home:
    home = Home(root)
    home.keys.mkdir(parents=True)
    (home.keys / "seal.key").write_bytes(bytes(range(32)))
    home.settings.write_text('keep_days = 7\nstore = "postgresql://old"\n')
    home.keeper.mkdir()
    home.options.write_text(json.dumps({"listen": "127.0.0.1:9", "bucket": "s3://old/place"}))
    home.logs.mkdir()
    (home.logs / "control.log").write_text("a line\n")
    return home


def sqlite(path: Path) -> str:
    return f"sqlite:///{path}"


def rows_of(url: str) -> dict[str, list[bytes]]:
    with tables.reading(url) as connection:
        return {name: list(tables.lines(connection, table)) for name, table in tables.schema(connection).items()}


async def saved(tmp_path: Path, url: str) -> tuple[Path, Saved]:
    file = tmp_path / "house.tar.zst"
    return file, await save(file, a_home(tmp_path / "old"), url, await a_bucket(tmp_path / "old" / "bucket"))


async def test_a_house_comes_back_as_it_was(tmp_path: Path, url: str, full: tuple[Path, dict[str, int]]) -> None:
    counts = full[1]
    file, told = await saved(tmp_path, url)
    new, bucket = Home(tmp_path / "new"), open_bucket(str(tmp_path / "new-bucket"))

    with homes.making(new):
        made = await restore(file, new, sqlite(new.database), bucket, {"bucket": "there"})

    assert (told.rows, made.rows, told.objects) == (sum(counts.values()), sum(counts.values()), len(OBJECTS))
    assert len(counts) > 20
    assert rows_of(sqlite(new.database)) == rows_of(url)
    for key, (data, kind) in OBJECTS.items():
        found = await bucket.get(key)
        assert (found.data, found.content_type) == (data, kind)
    assert (new.keys / "seal.key").read_bytes() == bytes(range(32))
    assert (new.logs / "control.log").read_text() == "a line\n"
    assert "keep_days = 7" in new.settings.read_text()
    assert made.places == {"store": "postgresql://old"}, "what names the other house's places is taken out, and told"
    assert json.loads(new.options.read_text()) == {"listen": "127.0.0.1:9", "bucket": "there"}
    assert (new.root / "layout").exists()
    assert {path.stat().st_mode & 0o077 for path in (file, new.database, new.settings, new.keys)} == {0}


async def test_it_moves_to_postgresql_and_back(
    tmp_path: Path, url: str, file: Path, postgres_url: Callable[[], str]
) -> None:
    first, second, third = url, postgres_url(), sqlite(tmp_path / "c.sqlite3")

    await restore(file, Home(tmp_path / "b"), second, None, {})
    again = tmp_path / "again.tar.zst"
    await save(again, Home(tmp_path / "b"), second, None)
    await restore(again, Home(tmp_path / "c"), third, None, {})

    assert rows_of(third) == rows_of(first)
    async with open_database(second) as database:  # new rows are numbered after the old ones
        events = Base.metadata.tables["events"]
        await database.write(lambda session: session.execute(events.insert().values(**_event())))
        assert await database.read(lambda session: session.scalar(select(func.max(events.c.id)))) == ROWS + 1
    with pytest.raises(Conflict, match="holds the records of an installation"):
        await restore(file, Home(tmp_path / "d"), second, None, {})


def _event() -> dict[str, Any]:
    columns = Base.metadata.tables["events"].columns
    with_reflected = {column.name: a_value(column.table, column, 0) for column in columns if not column.primary_key}
    return with_reflected | {name: value for name, value in (("at", MOMENT), ("cause", ())) if name in columns}


@pytest.mark.parametrize("revision", ["0010", "0014"])
async def test_a_backup_of_an_older_program_is_restored_and_brought_up_to_date(tmp_path: Path, revision: str) -> None:
    url, new = sqlite(tmp_path / "old.sqlite3"), sqlite(tmp_path / "new.sqlite3")
    a_database(url, revision)
    file, _ = await saved(tmp_path, url)

    await restore(file, Home(tmp_path / "new"), new, None, {})

    with tables.reading(new) as connection:
        assert migrate.current(connection) == revision
    assert rows_of(new) == rows_of(url)


async def test_what_is_written_meanwhile_is_not_half_in_it(url: str) -> None:
    before = rows_of(url)
    with tables.reading(url) as connection:
        found = tables.schema(connection)
        async with open_database(url) as database:
            users = Base.metadata.tables["users"]
            await database.write(lambda session: session.execute(users.delete().where(users.c.name == "nobody")))
            await database.write(
                lambda session: session.execute(users.update().values(created_at=MOMENT + timedelta(days=1)))
            )
        assert {name: list(tables.lines(connection, table)) for name, table in found.items()} == before
    assert rows_of(url) != before


async def test_nothing_is_left_of_a_backup_that_fails(tmp_path: Path, url: str) -> None:
    with pytest.raises(Unavailable, match="no installation's database"):
        await save(tmp_path / "house.tar.zst", Home(tmp_path / "none"), sqlite(tmp_path / "none.sqlite3"), None)
    (tmp_path / "other.sqlite3").touch()
    with pytest.raises(Unavailable, match="no installation's database"):
        await save(tmp_path / "house.tar.zst", Home(tmp_path / "none"), sqlite(tmp_path / "other.sqlite3"), None)

    there = tmp_path / "there.tar.zst"
    there.write_text("mine")
    with pytest.raises(Invalid, match="exists"):
        await save(there, Home(tmp_path / "none"), url, None)
    assert there.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.sqlite3", "other.sqlite3", "there.tar.zst"]


def repack(file: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any]) -> None:
    """Write the archive anew with its members changed."""
    with zstd.ZstdFile(file) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
        found = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    change(found)
    with zstd.ZstdFile(file, "w") as packed, tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for info, data in found:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _member(found: list[tuple[tarfile.TarInfo, bytes]], name: str, data: bytes, at: int) -> None:
    found.insert(at, (tarfile.TarInfo(name), data))


def _set(found: list[tuple[tarfile.TarInfo, bytes]], at: int, data: bytes) -> None:
    found[at] = (found[at][0], data)


BROKEN: dict[str, tuple[Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any], str]] = {
    "a row changed": (lambda found: _set(found, 1, found[1][1].replace(b"plain", b"plaim")), "not as it was written"),
    "a member more": (lambda found: _member(found, "home/evil", b"x", 2), "not as it was written"),
    "a member less": (lambda found: found.pop(3), "not as it was written"),
    "a member twice": (lambda found: found.insert(2, found[1]), "comes twice"),
    "after the end": (lambda found: _member(found, "home/late", b"x", len(found)), "comes twice or late"),
    "no end": (lambda found: found.pop(), "cut off"),
    "no beginning": (lambda found: found.pop(0), "begins with"),
    "nothing": (lambda found: found.clear(), "cut off"),
    "digests of another kind": (lambda found: _set(found, -1, b"[]"), "digests.json"),
    "a beginning that is no JSON": (lambda found: _set(found, 0, b"{"), "backup.json"),
    "a newer format": (lambda found: _set(found, 0, found[0][1].replace(b'"format":1', b'"format":2')), "newer"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_an_archive_that_was_changed_is_refused_before_anything_is_written(
    tmp_path: Path, file: Path, what: str
) -> None:
    change, said = BROKEN[what]
    repack(file, change)
    new = Home(tmp_path / "new")

    with pytest.raises(Invalid, match=said), homes.making(new):
        await restore(file, new, sqlite(new.database), open_bucket(str(new.bucket)), {})

    assert list(new.root.iterdir()) == []


@pytest.mark.parametrize("part", [0, 1, 100, -1, -100])
async def test_an_archive_that_was_cut_off_is_refused(file: Path, part: int) -> None:
    file.write_bytes(file.read_bytes()[:part])

    with pytest.raises(Invalid, match="no whole backup"):
        archive.verify(file)


async def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(Invalid, match="text is no backup"):
        archive.verify(tmp_path / "text")
    with pytest.raises(NotFound, match="is not there"):
        archive.verify(tmp_path / "none")
    with pytest.raises(Invalid, match="directory"):
        archive.verify(tmp_path)


def _resigned(found: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """Tell the digests of the members as they are now, as somebody would who knows the format."""
    import hashlib

    members = {info.name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for info, data in found[:-1]}
    _set(found, -1, json.dumps({"members": members}).encode())


HOSTILE: dict[str, Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any]] = {
    "home/../../evil": lambda found: _member(found, "home/../../evil", b"x", 1),
    "home//etc/evil": lambda found: _member(found, "home//etc/fairlead-evil", b"x", 1),
    "bucket/../evil": lambda found: _member(found, "bucket/../evil", b"x", 1),
    "another table": lambda found: _member(found, "tables/sqlite_master.jsonl", b'["a"]\n[1]\n', 1),
    "a table without columns": lambda found: _set(found, 1, b"[]\n"),
    "a table of text": lambda found: _set(found, 1, b"hello\n"),
    "a row too short": lambda found: _set(found, 1, found[1][1] + b"[1]\n"),
    "a schema that nobody knows": lambda found: _set(found, 0, found[0][1].replace(migrate.head().encode(), b"9999")),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_an_archive_that_somebody_made_up_writes_nowhere_else(tmp_path: Path, file: Path, what: str) -> None:
    repack(file, lambda found: (HOSTILE[what](found), _resigned(found)))
    new = Home(tmp_path / "deep" / "new")
    new.root.parent.mkdir()

    with pytest.raises(Error) as refused, homes.making(new):
        await restore(file, new, sqlite(new.database), open_bucket(str(new.bucket)), {})

    assert refused.value.code in {"backup_broken", "bad_key", "schema_newer"}
    assert list(new.root.iterdir()) == []
    assert [*tmp_path.rglob("*evil*"), *Path("/etc").glob("fairlead-evil")] == []


async def test_a_home_that_holds_anything_is_left_alone(tmp_path: Path) -> None:
    new = Home(tmp_path / "new")
    new.root.mkdir()
    (new.root / "mine").write_text("mine")

    with pytest.raises(Conflict, match="is not empty"), homes.making(new):
        pytest.fail("it must not begin")

    assert (new.root / "mine").read_text() == "mine"


async def test_a_disk_that_bends_bits_is_found_out(tmp_path: Path, file: Path) -> None:
    """What was written is read again: here the bucket gives back another byte than it took."""
    bucket = open_bucket(str(tmp_path / "bent"))

    class Bent:
        async def put(self, key: str, data: Any, content_type: str) -> None:
            await bucket.put(key, data, content_type)
            if key.startswith("out/"):
                (tmp_path / "bent" / key).write_bytes(b'{"name": "bob"}')

        def __getattr__(self, name: str) -> Any:
            return getattr(bucket, name)

    new = Home(tmp_path / "new")
    with pytest.raises(Internal, match="out/faces/job-1/1 is not what was saved"), homes.making(new):
        await restore(file, new, sqlite(new.database), Bent(), {})  # type: ignore[arg-type]

    assert list(new.root.iterdir()) == []


async def test_objects_never_go_to_a_bucket_of_another_house(tmp_path: Path, file: Path) -> None:
    bucket = open_bucket(str(tmp_path / "theirs"))
    await bucket.put("fairlead/owner", b"somebody")

    with pytest.raises(Conflict, match="is that of an installation"):
        await restore(file, Home(tmp_path / "new"), sqlite(tmp_path / "new.sqlite3"), bucket, {})

    assert [entry.key async for entry in bucket.list()] == ["fairlead/owner"]


def test_a_filling_that_fails_leaves_no_table(tmp_path: Path) -> None:
    url = sqlite(tmp_path / "new.sqlite3")

    def fail() -> None:
        with tables.filling(url) as connection:
            tables.make(connection, migrate.head())
            connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(Unavailable, match="no such table"):
        fail()

    with pytest.raises(Unavailable, match="no installation's database"), tables.reading(url):
        pass
