"""S-71: how long a refusal takes tells nothing of what would have been right."""

from __future__ import annotations

import hmac
import random
import secrets
import string
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fairlead import identity
from fairlead.accounts import passwords
from fairlead.bus import gate
from fairlead.control.house import House
from fairlead.errors import Forbidden
from fairlead.identity.tokens import verify
from fairlead.modelserver.protocols import http

SHARE = 0.15
"""What the quickest refusals of two kinds may differ by; a comparison letter by letter is far quicker than a hash, so
the kind of comparison is looked at as well."""
TRIES = 10


def differ(first: list[float], second: list[float]) -> float:
    """Return by how much the quickest of both differ: what other work adds is the same for both."""
    return abs(min(first) - min(second)) / max(min(first), min(second))


def test_s71_a_token_that_is_nearly_right_is_refused_as_soon_as_one_that_is_not() -> None:
    keys = identity.Keys(identity.new_key())
    good = identity.mint("ada", ["user"], keys=keys, days=1, now=datetime.now(UTC)).token
    head, _, signature = good.rpartition(".")
    chance = random.Random(1)

    def wrong(share: int) -> str:
        rest = "".join(chance.choices(string.ascii_letters, k=len(signature) - share))
        return f"{head}.{signature[:share]}{rest}"

    def took(token: str) -> float:
        began = time.perf_counter()
        with pytest.raises(Forbidden):
            verify(token, keys=keys, now=datetime.now(UTC))
        return time.perf_counter() - began

    for _ in range(TRIES):
        far, near = [], []
        for share in range(len(signature) // 2 - 4):  # each turn one of each half
            for _ in range(5):
                far.append(took(wrong(share)))
                near.append(took(wrong(len(signature) - 4 - share)))
        if differ(far, near) < SHARE:
            return
    raise AssertionError((min(far), min(near)))


def test_s71_an_unknown_person_takes_as_long_as_a_wrong_password() -> None:
    known = passwords.hash_of("correct horse battery staple")

    def took(kept: str | None) -> float:
        began = time.perf_counter()
        assert not passwords.matches(kept, "wrong horse battery staple")
        return time.perf_counter() - began

    for _ in range(TRIES):
        if differ([took(None) for _ in range(3)], [took(known) for _ in range(3)]) < 2 * SHARE:
            return
    raise AssertionError("who there is can be told by the time")


def test_s71_secrets_are_compared_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home's key, a device's password and a replica's gate, by what compares them."""
    compared: list[int] = []

    def noting(compare: Callable[..., bool]) -> Callable[[Any, Any], bool]:
        def note(first: Any, second: Any) -> bool:
            compared.append(len(first))
            return compare(first, second)

        return note

    monkeypatch.setattr(hmac, "compare_digest", noting(hmac.compare_digest))
    monkeypatch.setattr(secrets, "compare_digest", noting(secrets.compare_digest))
    table = {"t1": gate.password_hash("t1", "right")}
    assert gate.refusal(table, "t1", "right", "t1") == ""
    assert gate.refusal(table, "t1", "wrong", "t1")
    assert gate.refusal(table, "nobody", "wrong", "nobody")
    assert compared == [64, 64, 64]
    house = cast(House, SimpleNamespace(_here="k" * 43))
    assert not House.is_here(house, "x")
    assert House.is_here(house, "k" * 43)
    assert compared[3:] == [1, 43]
    assert http.compare_digest is not None
    assert "compare_digest" in http.Front.__rsgi__.__code__.co_names
