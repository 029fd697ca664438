"""Apps that are handed over."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts import service as accounts
from fairlead.accounts.policy import SYSTEM, Caller, Role
from fairlead.apps import owner
from fairlead.errors import Forbidden, NotFound
from fairlead.store.records import App, Event
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
ADA = Caller("ada", frozenset({Role.APP_DEVELOPER}))
BOB = Caller("bob", frozenset({Role.APP_DEVELOPER}))
EVE = Caller("eve", frozenset({Role.CONFIGURER}))


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        for name, role in [("ada", "app_developer"), ("bob", "app_developer"), ("eve", "configurer")]:
            accounts.add(opened, SYSTEM, name, [role], None, NOW)
        opened.add(App(name="smart", owner="ada", created_at=NOW))
        opened.flush()
        yield opened


@pytest.mark.parametrize("who", [ADA, EVE], ids=["owner", "configurer"])
def test_an_app_is_handed_over_and_the_audit_tells_it(session: Session, who: Caller) -> None:
    assert owner.set_owner(session, who, "smart", "bob", NOW).owner == "bob"
    session.flush()
    said = [entry.said for entry in session.scalars(select(Event).where(Event.kind == "app", Event.ref == "smart"))]
    assert any("ada → bob" in one for one in said)


def test_nobody_takes_an_app_or_gives_it_to_nobody(session: Session) -> None:
    with pytest.raises(Forbidden):
        owner.set_owner(session, BOB, "smart", "bob", NOW)
    with pytest.raises(NotFound, match="no user zoe"):
        owner.set_owner(session, ADA, "smart", "zoe", NOW)
    with pytest.raises(NotFound):
        owner.set_owner(session, ADA, "other", "bob", NOW)
