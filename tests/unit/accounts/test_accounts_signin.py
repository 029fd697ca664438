"""Signing in against a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.accounts import passwords, service
from fairlead.accounts.limit import FAILURES_PER_NAME
from fairlead.accounts.policy import SYSTEM
from fairlead.accounts.signin import SignIn
from fairlead.clock import SystemClock
from fairlead.errors import Busy, Error, Forbidden
from fairlead.identity import keys as signing
from fairlead.identity.tokens import verify
from fairlead.store.database import Database, open_database

KEYS = signing.Keys(signing.new_key())
CLOCK = SystemClock()
PASSWORD = "correct horse battery"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path / 'fairlead.sqlite3'}") as opened:
        hashed = passwords.hash_of(PASSWORD)
        await opened.write(lambda s: service.add(s, SYSTEM, "ada", ["configurer"], hashed, CLOCK.now()))
        await opened.write(lambda s: service.add(s, SYSTEM, "bob", ["user"], hashed, CLOCK.now()))
        await opened.write(lambda s: service.set_disabled(s, SYSTEM, "bob", True, CLOCK.now()))
        yield opened


async def test_the_right_password_gives_a_token_and_others_are_refused_alike(database: Database) -> None:
    door = SignIn(database, CLOCK)
    signed = await door.sign_in("ada", PASSWORD, "::1", keys=KEYS, days=1)
    assert verify(signed.minted.token, keys=KEYS, now=CLOCK.now()).sub == "ada"
    refusals = []
    for name, password in [("ada", "wrong"), ("nobody", PASSWORD), ("bob", PASSWORD), ("ada", "")]:
        with pytest.raises(Forbidden) as refused:
            await door.sign_in(name, password, "::1", keys=KEYS, days=1)
        refusals.append((refused.value.code, refused.value.message))
    assert len(set(refusals)) == 1


async def test_tries_made_at_once_do_not_slip_past_the_limit(database: Database) -> None:
    door = SignIn(database, CLOCK)
    tries = [door.sign_in("ada", "wrong", "::1", keys=KEYS, days=1) for _ in range(FAILURES_PER_NAME * 2)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, Busy) for result in results) == FAILURES_PER_NAME
    assert all(isinstance(result, Error) for result in results)
