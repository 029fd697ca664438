"""Makes the first person of an installation. Their password is in a file, synced, before they are there: a crash in
between leaves nobody, and the next start makes both anew."""

from __future__ import annotations

import asyncio
import json
import os
from functools import partial
from pathlib import Path

from fairlead.accounts import passwords
from fairlead.accounts import service as accounts
from fairlead.bundles import disk
from fairlead.clock import Clock
from fairlead.store.database import Database


async def make_first_user(database: Database, clock: Clock, file: Path) -> None:
    """Add the first person if there is nobody; ``file`` then holds name and password until somebody was shown them."""
    if not await database.read(accounts.is_empty):
        return
    password = passwords.random_password()
    hashed = await asyncio.to_thread(passwords.hash_of, password)
    await asyncio.to_thread(_keep, file, {"user": accounts.FIRST, "password": password})
    if not await database.write(partial(accounts.create_first, password_hash=hashed, now=clock.now())):
        file.unlink(missing_ok=True)  # somebody else was first: this is nobody's password


def _keep(file: Path, said: dict[str, str]) -> None:
    temporary = file.with_name(f".{file.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        json.dump(said, target)
        target.flush()
        os.fsync(target.fileno())
    temporary.replace(file)
    disk.flush_folder(file.parent)
