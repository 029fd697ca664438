"""Quotas: whose they are, who may give them, and when they are used up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from fairlead.accounts import quotas, service, tokens, usage
from fairlead.accounts.policy import SYSTEM, Caller, Role
from fairlead.accounts.quotas import MB, Defaults, Till
from fairlead.accounts.usage import TOKEN, USER
from fairlead.errors import Busy, Forbidden, Invalid, NotFound
from fairlead.identity import keys as signing
from fairlead.messages import Spent
from fairlead.store.records import Event, Token, User
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
KEYS = signing.Keys(signing.new_key())
EVE = Caller("eve", frozenset({Role.CONFIGURER}))
ADA = Caller("ada", frozenset({Role.AI_DEVELOPER}))


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        service.add(opened, SYSTEM, "eve", ["configurer"], None, NOW)
        service.add(opened, SYSTEM, "ada", ["ai_developer"], None, NOW)
        yield opened


def token(session: Session, caller: Caller = ADA, **more: Any) -> str:
    minted = tokens.new(session, caller, "ci", NOW, keys=KEYS, days=1, **more)
    session.flush()
    return minted.jti


def use(session: Session, calls: int, jti: str, user: str = "ada", now: datetime = NOW) -> None:
    day = usage.day_of(now)
    usage.add(session, {(day, (USER, user)): calls, (day, (TOKEN, jti)): calls})


@pytest.mark.parametrize("given", [0, -1, 10**9 + 1, 10**30, "many", "", "12", True])
def test_what_is_no_quota_is_told_so(session: Session, given: Any) -> None:
    for name in ("calls_per_day", "stored_mb"):
        with pytest.raises(Invalid) as refused:
            quotas.set_(session, EVE, "ada", {name: given}, NOW)
        assert refused.value.code == "quota_invalid"
        assert name in refused.value.message
        assert "1 to 1000000000" in refused.value.hint
    assert service.get(session, "ada").calls_per_day is None


def test_only_a_configurer_sets_quotas_and_of_people_who_are_there(session: Session) -> None:
    with pytest.raises(Forbidden):
        quotas.set_(session, ADA, "ada", {"calls_per_day": 5}, NOW)
    with pytest.raises(NotFound):
        quotas.set_(session, EVE, "nobody", {"calls_per_day": 5}, NOW)
    quotas.set_(session, EVE, "ada", {"calls_per_day": 5, "stored_mb": "none"}, NOW)
    session.flush()
    said = [event.said for event in session.query(Event).filter(Event.ref == "ada")]
    assert "quota: calls_per_day 5, stored_mb none" in said


def test_ones_own_quota_is_stronger_than_the_installations_which_configurers_do_not_have(session: Session) -> None:
    defaults = Defaults(calls_per_day=10, stored_mb=3)
    ada, eve = service.get(session, "ada"), service.get(session, "eve")
    assert quotas.limits(ada, defaults) == (10, 3)
    assert quotas.limits(eve, defaults) == (0, 0)
    quotas.set_(session, EVE, "eve", {"calls_per_day": 2}, NOW)
    quotas.set_(session, EVE, "ada", {"calls_per_day": 20, "stored_mb": "none"}, NOW)
    assert quotas.limits(eve, defaults) == (2, 0)
    assert quotas.limits(ada, defaults) == (20, 0)
    quotas.set_(session, EVE, "ada", {"calls_per_day": "default"}, NOW)
    assert quotas.limits(ada, defaults) == (10, 0)


def test_a_used_up_quota_opens_again_with_the_next_day_and_with_a_higher_one(session: Session) -> None:
    quotas.set_(session, EVE, "ada", {"calls_per_day": 20}, NOW)
    one, other = token(session), token(session)
    use(session, 12, one)
    use(session, 7, other)
    assert quotas.spent(session, Defaults(), NOW) == Spent()
    use(session, 1, other)
    assert quotas.spent(session, Defaults(), NOW) == Spent("2026-11-20", users=("ada",))
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    assert quotas.spent(session, Defaults(), midnight - timedelta(seconds=1)).users == ("ada",)
    assert quotas.spent(session, Defaults(), midnight) == Spent()
    quotas.set_(session, EVE, "ada", {"calls_per_day": 21}, NOW)
    assert quotas.spent(session, Defaults(), NOW) == Spent()
    assert quotas.spent(session, Defaults(calls_per_day=5), NOW) == Spent()
    quotas.set_(session, EVE, "ada", {"calls_per_day": "default"}, NOW)
    assert quotas.spent(session, Defaults(calls_per_day=5), NOW).users == ("ada",)


def test_a_tokens_quota_stops_that_token_alone(session: Session) -> None:
    small, free = token(session, calls_per_day=3), token(session)
    use(session, 3, small)
    use(session, 50, free)
    assert quotas.spent(session, Defaults(), NOW) == Spent("2026-11-20", tokens=(small,))


def test_a_token_gets_at_most_what_its_owner_has(session: Session) -> None:
    quotas.set_(session, EVE, "ada", {"calls_per_day": 20}, NOW)
    with pytest.raises(Forbidden) as refused:
        token(session, calls_per_day=21)
    assert refused.value.code == "quota_beyond"
    assert "20 calls a day" in refused.value.message
    assert session.get_one(Token, token(session, calls_per_day=20)).calls_per_day == 20
    assert session.get_one(Token, token(session, calls_per_day="none")).calls_per_day is None
    with pytest.raises(Forbidden):
        token(session, EVE, user="ada", calls_per_day=21)
    quotas.set_(session, EVE, "ada", {"calls_per_day": "default"}, NOW)
    with pytest.raises(Forbidden):
        token(session, calls_per_day=11, defaults=Defaults(calls_per_day=10))
    for wrong in (0, -3, "x"):
        with pytest.raises(Invalid):
            token(session, calls_per_day=wrong)


def test_a_token_with_a_quota_makes_no_others(session: Session) -> None:
    small = token(session, calls_per_day=3)
    with pytest.raises(Forbidden) as refused:
        token(session, Caller("ada", ADA.roles, small), calls_per_day=1)
    assert refused.value.code == "quota_beyond"


def test_control_counts_what_it_accepts_and_refuses_at_once(session: Session) -> None:
    quotas.set_(session, EVE, "ada", {"calls_per_day": 3}, NOW)
    session.flush()
    caller = Caller("ada", ADA.roles, token(session))
    till = Till(session, [caller], Defaults(), NOW)
    for _ in range(3):
        till.charge(caller)
    with pytest.raises(Busy) as refused:
        till.charge(caller)
    assert refused.value.code == "quota_exceeded"
    assert "2026-11-21T00:00:00" in refused.value.message
    assert refused.value.retry_after_s == 9 * 3600 + 57 * 60
    till.write()
    assert usage.calls(session, USER, ["ada"], NOW) == {"ada": 3}
    assert usage.calls(session, TOKEN, [caller.token], NOW) == {caller.token: 3}
    with pytest.raises(Busy):
        Till(session, [caller], Defaults(), NOW).charge(caller)
    Till(session, [caller], Defaults(), NOW + timedelta(days=1)).charge(caller)
    Till(session, [ADA], Defaults(), NOW).charge(ADA)  # a run's call: by no token


def test_a_bundle_counts_once_and_is_given_back(session: Session) -> None:
    quotas.set_(session, EVE, "ada", {"stored_mb": 2}, NOW)
    quotas.check_stored(session, "ada", "one", 2 * MB, Defaults())
    usage.keep(session, "ada", "one", "flowers", MB)
    usage.keep(session, "ada", "one", "flowers", MB)
    usage.keep(session, "ada", "one", "roses", MB)
    usage.keep(session, "eve", "one", "roses", MB)
    session.flush()
    assert usage.stored(session) == {"ada": MB, "eve": MB}
    quotas.check_stored(session, "ada", "two", MB, Defaults())
    quotas.check_stored(session, "ada", "one", 9 * MB, Defaults())
    with pytest.raises(Invalid) as refused:
        quotas.check_stored(session, "ada", "two", MB + 1, Defaults())
    assert refused.value.code == "storage_exceeded"
    assert refused.value.message == "the bundle has 1.0 MB, and 1.0 MB of your 2.0 MB are free"
    usage.give_back(session, "roses")
    assert usage.stored(session, ["ada", "eve"]) == {"ada": MB}
    usage.give_back(session, "flowers")
    assert usage.stored(session) == {}


def test_used_shows_everybody(session: Session) -> None:
    use(session, 4, token(session))
    usage.keep(session, "ada", "one", "flowers", 77)
    session.flush()
    people = session.query(User).all()
    found = quotas.used(session, people, Defaults(calls_per_day=9), NOW)
    assert found["ada"] == quotas.Used(4, 9, 77, 0)
    assert found["eve"] == quotas.Used()
