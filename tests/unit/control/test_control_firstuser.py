"""The first person: their password is known before they are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from fairlead.accounts import passwords
from fairlead.control.firstuser import make_first_user
from fairlead.store.database import Database, open_database
from fairlead.store.records import User
from fairlead.testing.clock import ManualClock


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
