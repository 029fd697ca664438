"""What is remembered of people: until a commit touches it, and what another program writes for a second."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from fairlead.accounts.quotas import Defaults
from fairlead.control.directory import KEPT_S, Directory
from fairlead.errors import Forbidden
from fairlead.identity.claims import Claims
from fairlead.store.database import Database, open_database
from fairlead.store.records import User
from fairlead.testing.clock import ManualClock

ADA = Claims(sub="ada", roles=("user", "configurer"), jti="tok-1", iat=0, exp=2**40)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    clock = ManualClock()
    async with open_database(f"sqlite:///{tmp_path}/store.sqlite3") as made:
        await made.write(lambda s: s.add(User(name="ada", roles=("user", "configurer"), created_at=clock.now())))
        yield made


async def test_who_asks_again_is_read_once_until_something_changes(database: Database) -> None:
    directory, reads = Directory(database, ManualClock(), Defaults()), database.read_shared
    count = 0

    async def counted(key: object, run: object) -> object:
        nonlocal count
        count += 1
        return await reads(key, run)  # type: ignore[arg-type]

    database.read_shared = counted  # type: ignore[method-assign,assignment]
    for _ in range(3):
        assert {role.value for role in (await directory.caller(ADA)).roles} == {"user", "configurer"}
    assert count == 1
    await database.write(lambda s: setattr(s.get_one(User, "ada"), "roles", ("user",)))
    assert {role.value for role in (await directory.caller(ADA)).roles} == {"user"}
    await database.write(lambda s: setattr(s.get_one(User, "ada"), "disabled", True))
    with pytest.raises(Forbidden) as refused:
        await directory.caller(ADA)
    assert refused.value.code == "user_disabled"
    with pytest.raises(Forbidden):
        await directory.caller(ADA)
    assert count == 4, "a refusal is not remembered"


async def test_what_another_program_writes_counts_after_a_second(database: Database) -> None:
    clock = ManualClock()
    directory = Directory(database, clock, Defaults())
    await directory.caller(ADA)
    with closing(sqlite3.connect(str(database.url.database))) as other:
        other.execute("UPDATE users SET disabled = 1")
        other.commit()
    await clock.advance(KEPT_S)
    with pytest.raises(Forbidden):
        await directory.caller(ADA)
