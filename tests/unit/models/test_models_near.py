"""A name that is none is answered with the one that looks like it, of those that one may see."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fairlead.accounts import service as accounts
from fairlead.accounts.policy import SYSTEM, Caller, Role
from fairlead.errors import NotFound
from fairlead.models import queries
from fairlead.store.records import Model
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
ADA = Caller("ada", frozenset({Role.AI_DEVELOPER}))
BOB = Caller("bob", frozenset({Role.USER}))


def test_a_name_that_is_none_is_answered_with_the_one_that_looks_like_it() -> None:
    with memory() as session:
        accounts.add(session, SYSTEM, "ada", ["ai_developer"], None, NOW)
        session.add(Model(name="flowers", owner="ada", created_at=NOW, visibility="private"))
        session.flush()

        def hint(who: Caller) -> str:
            with pytest.raises(NotFound) as refused:
                queries.get(session, who, "flwoers")
            return refused.value.hint

        assert hint(ADA) == "did you mean flowers? fairlead models lists those that you may see"
        assert hint(BOB) == "fairlead models lists those that you may see"
