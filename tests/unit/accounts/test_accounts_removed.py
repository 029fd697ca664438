"""People who are removed: only who owns nothing, their tokens end, and their name stays theirs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts import service, tokens
from fairlead.accounts.policy import SYSTEM, Caller, Role
from fairlead.errors import Conflict, Forbidden, NotFound
from fairlead.identity import keys as signing
from fairlead.models.owner import set_owner
from fairlead.store.records import Event, Model, Token
from fairlead.testing.store import memory

KEYS = signing.Keys(signing.new_key())
NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
CHIEF = Caller("chief", frozenset({Role.CONFIGURER}))
ADA = Caller("ada", frozenset({Role.AI_DEVELOPER}))


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        service.add(opened, SYSTEM, "chief", ["configurer"], "x", NOW)
        service.add(opened, SYSTEM, "ada", ["ai_developer"], "x", NOW)
        service.add(opened, SYSTEM, "bob", ["ai_developer"], "x", NOW)
        yield opened


def test_who_owns_something_is_not_removed_until_it_is_handed_over(session: Session) -> None:
    session.add(Model(name="flowers", owner="ada", created_at=NOW))
    session.flush()
    with pytest.raises(Conflict, match="ada owns the model flowers") as refused:
        service.remove(session, CHIEF, "ada", NOW)
    assert refused.value.code == "user_owns"
    assert "fairlead models set MODEL --owner WHO" in refused.value.hint

    with pytest.raises(Forbidden):
        set_owner(session, Caller("bob", frozenset({Role.AI_DEVELOPER})), "flowers", "bob", NOW)
    with pytest.raises(NotFound):
        set_owner(session, ADA, "flowers", "nobody", NOW)
    assert set_owner(session, CHIEF, "flowers", "bob", NOW).owner == "bob"

    service.remove(session, CHIEF, "ada", NOW)
    said = session.execute(select(Event.ref, Event.said).order_by(Event.id)).all()
    assert ("flowers", "owner ada → bob") in said
    assert said[-1] == ("ada", "removed")


def test_who_is_removed_is_out_and_keeps_the_name(session: Session) -> None:
    tokens.new(session, ADA, "laptop", NOW, keys=KEYS, days=1)

    service.remove(session, CHIEF, "ada", NOW)

    assert [token.revoked_at is not None for token in session.scalars(select(Token))] == [True]
    assert [user.name for user in service.list_all(session, CHIEF)] == ["bob", "chief"]
    with pytest.raises(NotFound):
        service.get(session, "ada")
    with pytest.raises(Forbidden):
        service.caller_of(session, "ada", ["ai_developer"], "tok-1")
    with pytest.raises(Conflict, match="ada was removed"):
        service.add(session, CHIEF, "ada", ["user"], "x", NOW)


def test_the_last_configurer_is_not_removed_and_nobody_else_removes(session: Session) -> None:
    with pytest.raises(Conflict) as refused:
        service.remove(session, CHIEF, "chief", NOW)
    assert (refused.value.code, "--add configurer" in refused.value.hint) == ("last_configurer", True)
    with pytest.raises(Forbidden):
        service.remove(session, ADA, "bob", NOW)
