"""What was read is remembered until a commit touched its tables; many rows go in by few statements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from fairlead.store.database import Database, open_database
from fairlead.store.records import Usage, User
from fairlead.store.rows import ROWS_AT_ONCE, Rows, table_of
from fairlead.testing.clock import ManualClock

TABLES = ("users", "tokens")
USAGE = Rows(
    table_of(Usage),
    ("day", "name", "calls"),
    [("kind", "'user'")],
    "ON CONFLICT (day, kind, name) DO UPDATE SET calls = usage.calls + excluded.calls",
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path}/store.sqlite3") as made:
        yield made


def user(name: str) -> User:
    return User(name=name, roles=("user",), created_at=ManualClock().now())


async def test_each_way_to_write_a_table_is_counted_and_no_other(database: Database) -> None:
    marks = [database.changes.of(TABLES)]

    async def marked(run: object) -> bool:
        await database.write(run)  # type: ignore[arg-type]
        marks.append(database.changes.of(TABLES))
        return marks[-1] != marks[-2]

    assert await marked(lambda s: s.add(user("ada")))
    assert await marked(lambda s: setattr(s.get_one(User, "ada"), "disabled", True))
    assert await marked(lambda s: s.execute(update(User).values(stored_mb=1)))
    assert await marked(lambda s: s.execute(delete(User)))
    assert not await marked(lambda s: s.scalars(select(User)).all())
    assert not await marked(lambda s: s.add(Usage(day="2026-11-22", kind="user", name="ada", calls=1)))


async def test_a_write_that_is_undone_is_no_harm_and_the_next_is_counted(database: Database) -> None:
    def fails(session: Session) -> None:
        session.add(user("ada"))
        session.flush()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.write(fails)
    before = database.changes.of(TABLES)
    await database.write(lambda s: s.add(user("ada")))
    assert database.changes.of(TABLES) != before


@pytest.mark.parametrize("count", [0, 1, 3, ROWS_AT_ONCE[1], 2 * sum(ROWS_AT_ONCE) + 1])
async def test_any_number_of_rows_goes_in_and_adds_up(database: Database, count: int) -> None:
    rows = [("2026-11-22", f"u{number}", number) for number in range(count)]
    for _ in range(2):
        await database.write(lambda s: USAGE.insert(s.connection(), rows))
    query = select(func.count(), func.coalesce(func.sum(Usage.calls), 0))
    found = await database.read(lambda s: tuple(s.execute(query).one()))
    assert found == (count, 2 * sum(range(count)))
