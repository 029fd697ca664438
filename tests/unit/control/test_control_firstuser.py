"""The first person: their password is known before they are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from fairlead.accounts import passwords
from fairlead.control.firstuser import add_missing_types, make_first_user
from fairlead.devices import builtins, registry
from fairlead.store.database import Database, open_database
from fairlead.store.records import User
from fairlead.testing.clock import ManualClock

NAMES = {kind.name for _, kind in builtins.all_types()}


class Crashing(Database):
    """A database whose machine loses power at the first write."""

    async def write(self, run):  # type: ignore[no-untyped-def]
        raise ConnectionError("the power went")


async def test_after_a_crash_at_any_moment_the_file_holds_the_password_of_who_is_there(tmp_path: Path) -> None:
    file, url = tmp_path / "first.json", f"sqlite:///{tmp_path / 'a.sqlite3'}"
    async with open_database(url) as database:
        crashing = Crashing(database.url)
        with pytest.raises(ConnectionError):
            await make_first_user(crashing, ManualClock(), file)
        assert file.exists()  # before anybody was there

        await make_first_user(database, ManualClock(), file)
        said = json.loads(file.read_text())
        await make_first_user(database, ManualClock(), file)

        def there(session: Session) -> bool:
            return passwords.matches(session.get_one(User, said["user"]).password_hash, said["password"])

        assert await database.read(there)
        assert json.loads(file.read_text()) == said
        assert file.stat().st_mode & 0o777 == 0o600


async def test_an_installation_begins_with_the_built_in_types(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'a.sqlite3'}") as database:
        await make_first_user(database, ManualClock(), tmp_path / "first.json")

        assert await database.read(lambda s: {one.name for one in registry.list_types(s)}) == NAMES


async def test_an_installation_from_before_gets_them_at_its_start_and_keeps_what_it_had(tmp_path: Path) -> None:
    own = 'name = "fan"\nversion = "1.0.0"\n[properties.on]\ntype = "boolean"\n'
    async with open_database(f"sqlite:///{tmp_path / 'a.sqlite3'}") as database:
        await database.write(lambda s: registry.add_type(s, own, ManualClock().now(), by="eve"))
        for _start in range(2):
            await add_missing_types(database, ManualClock())

        found = await database.read(lambda s: {one.name: one.source for one in registry.list_types(s)})
    assert set(found) == NAMES
    assert found["fan"] == own
