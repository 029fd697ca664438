"""Makes what an installation begins with: the first person, and the types of devices that come with the platform. The
person's password is in a file, synced, before they are there: a crash in between leaves nobody, and the next start
makes both anew."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy.orm import Session

from fairlead.accounts import passwords
from fairlead.accounts import service as accounts
from fairlead.bundles import disk
from fairlead.clock import Clock
from fairlead.devices import builtins
from fairlead.store.database import Database


async def make_first_user(database: Database, clock: Clock, file: Path) -> None:
    """Add the first person and the built-in types if there is nobody; ``file`` then holds name and password.

    It does until somebody was shown them.
    """
    if not await database.read(accounts.is_empty):
        return
    password = passwords.random_password()
    hashed = await asyncio.to_thread(passwords.hash_of, password)
    await asyncio.to_thread(_keep, file, {"user": accounts.FIRST, "password": password})
    if not await database.write(partial(_create_first, password_hash=hashed, now=clock.now())):
        file.unlink(missing_ok=True)  # somebody else was first: this is nobody's password


async def add_missing_types(database: Database, clock: Clock) -> None:
    """Register the built-in types that an installation does not have yet: one that was begun by an earlier version."""
    if await database.read(builtins.missing):
        await database.write(partial(builtins.add_missing, now=clock.now()))


def _create_first(session: Session, password_hash: str, now: datetime) -> bool:
    if not accounts.create_first(session, password_hash, now):
        return False
    builtins.add_missing(session, now)
    return True


def _keep(file: Path, said: dict[str, str]) -> None:
    temporary = file.with_name(f".{file.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        json.dump(said, target)
        target.flush()
        os.fsync(target.fileno())
    temporary.replace(file)
    disk.flush_folder(file.parent)
