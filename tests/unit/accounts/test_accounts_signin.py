"""Signing in against a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.accounts import passwords, service
from fairlead.accounts.limit import (
    FAILURES_PER_ADDRESS,
    FAILURES_PER_PAIR,
    SUSPICIOUS,
    SUSPICIOUS_S,
    WINDOW_S,
    SignInLimit,
)
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
    tries = [door.sign_in("ada", "wrong", "::1", keys=KEYS, days=1) for _ in range(FAILURES_PER_PAIR * 2)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, Busy) for result in results) == FAILURES_PER_PAIR
    assert all(isinstance(result, Error) for result in results)


def guess(limit: SignInLimit, name: str, address: str, at: float, times: int = 1) -> None:
    for _ in range(times):
        limit.check(name, address, at)
        limit.failed(name, address, at)


def test_after_five_failures_who_guesses_must_wait_and_others_need_not() -> None:
    limit = SignInLimit()
    guess(limit, "ada", "192.0.2.1", 0.0, FAILURES_PER_PAIR)
    with pytest.raises(Busy) as refused:
        limit.check("ada", "192.0.2.1", 1.0)
    assert refused.value.retry_after_s == pytest.approx(WINDOW_S - 1)
    limit.check("bob", "192.0.2.1", 1.0)
    limit.check("ada", "192.0.2.1", WINDOW_S + 0.1)


def test_a_success_forgets_failures() -> None:
    limit = SignInLimit()
    guess(limit, "ada", "192.0.2.1", 0.0, FAILURES_PER_PAIR - 1)
    limit.succeeded("ada", "192.0.2.1")
    guess(limit, "ada", "192.0.2.1", 0.0)
    limit.check("ada", "192.0.2.1", 0.0)


async def test_r6_guesses_of_a_stranger_keep_nobody_out_who_signs_in_from_elsewhere(database: Database) -> None:
    door = SignIn(database, CLOCK)
    for _ in range(FAILURES_PER_PAIR):
        with pytest.raises(Forbidden):
            await door.sign_in("ada", "wrong", "192.0.2.66", keys=KEYS, days=1)
    with pytest.raises(Busy):
        await door.sign_in("ada", PASSWORD, "192.0.2.66", keys=KEYS, days=1)

    assert (await door.sign_in("ada", PASSWORD, "192.0.2.1", keys=KEYS, days=1)).user == "ada"
    with pytest.raises(Busy):
        await door.sign_in("ada", PASSWORD, "192.0.2.66", keys=KEYS, days=1)


def test_guesses_at_one_name_from_many_addresses_leave_each_address_one() -> None:
    limit = SignInLimit()
    for number in range(SUSPICIOUS):
        guess(limit, "ada", f"198.51.100.{number}", 0.0)
    limit.check("ada", "192.0.2.1", 1.0)  # who knows the password is let in
    guess(limit, "ada", "192.0.2.2", 1.0)
    with pytest.raises(Busy) as refused:
        limit.check("ada", "192.0.2.2", 2.0 + WINDOW_S)
    assert refused.value.retry_after_s == pytest.approx(SUSPICIOUS_S - WINDOW_S - 1)
    guess(limit, "bob", "192.0.2.2", 2.0, FAILURES_PER_PAIR)
    limit.check("ada", "192.0.2.2", 2.0 + SUSPICIOUS_S)


def test_many_names_from_one_address_are_bounded_and_a_network_of_ipv6_is_one_address() -> None:
    limit = SignInLimit()
    for number in range(FAILURES_PER_ADDRESS):
        guess(limit, f"name-{number}", f"2001:db8::{number:x}", 0.0)
    with pytest.raises(Busy):
        limit.check("ada", "2001:db8::ffff:1", 1.0)
    limit.check("ada", "2001:db8:0:1::1", 1.0)
    limit.check("ada", "local", 1.0)
