"""Users and tokens, and what they may."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts import passwords, policy, service, tokens
from fairlead.accounts.policy import ALLOWED, SYSTEM, Caller, Role, Verb
from fairlead.errors import Conflict, Forbidden, Invalid, NotFound
from fairlead.identity import keys as signing
from fairlead.identity.tokens import verify
from fairlead.store.records import Event, Token, User
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
KEYS = signing.Keys(signing.new_key())


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        yield opened


def caller(name: str, *roles: Role) -> Caller:
    return Caller(name, frozenset(roles))


@pytest.fixture
def ada(session: Session) -> Caller:
    service.add(session, SYSTEM, "ada", ["configurer", "user"], None, NOW)
    return caller("ada", Role.CONFIGURER, Role.USER)


@pytest.fixture
def bob(session: Session, ada: Caller) -> Caller:
    service.add(session, ada, "bob", ["user", "ai_developer"], None, NOW)
    return caller("bob", Role.USER, Role.AI_DEVELOPER)


def test_every_verb_is_somebodys_and_every_role_may_call() -> None:
    assert set(ALLOWED) == set(Verb)
    assert all(ALLOWED.values())
    assert ALLOWED[Verb.CALL_MODELS] == frozenset(Role)


def test_a_refusal_names_the_role_that_is_needed() -> None:
    with pytest.raises(Forbidden) as refused:
        policy.check(caller("bob", Role.USER), Verb.MANAGE_DEVICES)
    assert refused.value.code == "role_needed"
    assert "configurer" in refused.value.hint


@pytest.mark.parametrize(
    ("visibility", "who", "seen"),
    [
        ("public", None, True),
        ("team", None, False),
        ("team", caller("bob", Role.USER), True),
        ("private", caller("bob", Role.USER), False),
        ("private", caller("ada", Role.USER), True),
        ("private", caller("eve", Role.CONFIGURER), True),
    ],
)
def test_who_sees_what_ada_owns(visibility: str, who: Caller | None, seen: bool) -> None:
    assert policy.may_see(who, "ada", visibility) is seen


def test_the_first_person_gets_every_role_and_only_once(session: Session) -> None:
    password = passwords.random_password()
    assert service.create_first(session, passwords.hash_of(password), NOW)
    first = service.get(session, "admin")
    assert set(first.roles) == set(Role)
    assert passwords.matches(first.password_hash, password)
    assert not passwords.matches(first.password_hash, password + "x")
    assert not service.create_first(session, "h", NOW)


def test_no_password_matches_where_there_is_none() -> None:
    assert not passwords.matches(None, "")
    assert not passwords.matches("rubbish", "rubbish")


@pytest.mark.parametrize("password", ["short", "x" * 513])
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(Invalid):
        passwords.hash_of(password)


@pytest.mark.parametrize("name", ["", "Ada", "a b", "../x", "system", "-a"])
def test_a_bad_name_is_refused(session: Session, name: str) -> None:
    with pytest.raises(Invalid):
        service.add(session, SYSTEM, name, ["user"], None, NOW)


def test_unknown_roles_are_refused_all_at_once(session: Session) -> None:
    with pytest.raises(Invalid) as refused:
        service.add(session, SYSTEM, "ada", ["root", "king", "user"], None, NOW)
    assert [problem.message for problem in refused.value.problems] == ["king is no role", "root is no role"]


def test_a_taken_name_is_refused(session: Session, ada: Caller) -> None:
    with pytest.raises(Conflict):
        service.add(session, ada, "ada", ["user"], None, NOW)


def test_only_a_configurer_adds_users(session: Session, bob: Caller) -> None:
    with pytest.raises(Forbidden):
        service.add(session, bob, "eve", ["user"], None, NOW)


def test_the_last_configurer_can_neither_be_disabled_nor_lose_the_role(session: Session, ada: Caller) -> None:
    for act in (
        lambda: service.set_disabled(session, ada, "ada", True, NOW),
        lambda: service.set_roles(session, ada, "ada", ["user"], NOW),
    ):
        with pytest.raises(Conflict) as refused:
            act()
        assert refused.value.code == "last_configurer"
    service.add(session, ada, "eve", ["configurer"], None, NOW)
    service.set_disabled(session, ada, "eve", True, NOW)
    with pytest.raises(Conflict):
        service.set_roles(session, ada, "ada", ["user"], NOW)
    service.set_disabled(session, ada, "eve", False, NOW)
    assert service.set_roles(session, ada, "ada", ["user"], NOW).roles == ("user",)


def test_a_token_is_stored_nowhere(session: Session, bob: Caller) -> None:
    minted = tokens.new(session, bob, "laptop", NOW, keys=KEYS, days=30)
    session.flush()
    claims = verify(minted.token, keys=KEYS, now=NOW)
    assert (claims.sub, set(claims.roles)) == ("bob", {"user", "ai_developer"})
    signature = minted.token.rsplit(".", 1)[1]
    for record in [*session.scalars(select(Token)), *session.scalars(select(Event)), *session.scalars(select(User))]:
        assert signature not in repr(record)


def test_a_token_carries_no_role_that_its_maker_or_owner_lacks(session: Session, ada: Caller, bob: Caller) -> None:
    with pytest.raises(Forbidden) as refused:
        tokens.new(session, bob, "x", NOW, keys=KEYS, days=1, roles=["configurer"])
    assert refused.value.code == "role_beyond"
    weak = caller("bob", Role.USER)  # signed in with a token that carries less
    with pytest.raises(Forbidden):
        tokens.new(session, weak, "x", NOW, keys=KEYS, days=1, roles=["ai_developer"])
    with pytest.raises(Forbidden):
        tokens.new(session, bob, "x", NOW, keys=KEYS, days=1, user="ada")
    minted = tokens.new(session, ada, "ci", NOW, keys=KEYS, days=1, user="bob", roles=["ai_developer"])
    assert verify(minted.token, keys=KEYS, now=NOW).roles == ("ai_developer",)


def test_a_revoked_token_is_denied_until_it_would_have_expired(session: Session, bob: Caller) -> None:
    minted = tokens.new(session, bob, "laptop", NOW, keys=KEYS, days=1)
    assert tokens.denied(session, NOW) == {}
    tokens.revoke(session, bob, minted.jti, NOW)
    assert tokens.denied(session, NOW) == {minted.jti: minted.expires.timestamp()}
    assert tokens.denied(session, NOW + timedelta(days=2)) == {}
    assert tokens.list_of(session, bob, NOW) == []
    with pytest.raises(NotFound):
        tokens.revoke(session, bob, minted.jti, NOW)


def test_nobody_revokes_anothers_token_but_a_configurer(session: Session, ada: Caller, bob: Caller) -> None:
    minted = tokens.new(session, ada, "mine", NOW, keys=KEYS, days=1)
    with pytest.raises(NotFound):
        tokens.revoke(session, bob, minted.jti, NOW)
    with pytest.raises(Forbidden):
        tokens.list_of(session, bob, NOW, user="ada")
    theirs = tokens.new(session, bob, "bobs", NOW, keys=KEYS, days=1)
    tokens.revoke(session, ada, "bobs", NOW)
    assert set(tokens.denied(session, NOW)) == {theirs.jti}


@pytest.mark.parametrize("prefix", ["", "tok-", "%", "_"])
def test_a_prefix_that_names_none_or_several_revokes_nothing(session: Session, bob: Caller, prefix: str) -> None:
    for label in ("one", "two"):
        tokens.new(session, bob, label, NOW, keys=KEYS, days=1)
    with pytest.raises((NotFound, Conflict)):
        tokens.revoke(session, bob, prefix, NOW)
    assert len(tokens.list_of(session, bob, NOW)) == 2


def test_losing_a_role_revokes_the_tokens_that_carry_it(session: Session, ada: Caller, bob: Caller) -> None:
    weak = tokens.new(session, bob, "weak", NOW, keys=KEYS, days=1, roles=["user"])
    strong = tokens.new(session, bob, "strong", NOW, keys=KEYS, days=1)
    service.set_roles(session, ada, "bob", ["user"], NOW)
    assert set(tokens.denied(session, NOW)) == {strong.jti}
    service.set_disabled(session, ada, "bob", True, NOW)
    assert set(tokens.denied(session, NOW)) == {strong.jti, weak.jti}
    with pytest.raises(Forbidden):
        service.caller_of(session, "bob", ["user"], weak.jti)


def test_a_caller_has_only_roles_that_user_and_token_share(session: Session, bob: Caller) -> None:
    found = service.caller_of(session, "bob", ["user", "configurer"], "tok-1")
    assert found.roles == {Role.USER}


def test_a_lent_token_makes_none_that_outlives_it_and_a_sign_in_may(session: Session, ada: Caller) -> None:
    """S-74: who was given a day must not make a year of it."""
    lent = tokens.new(session, ada, "ci", NOW, keys=KEYS, days=1)
    session.flush()
    with_it = Caller("ada", ada.roles, lent.jti)

    tokens.new(session, with_it, "shorter", NOW, keys=KEYS, days=0.5)
    with pytest.raises(Forbidden) as caught:
        tokens.new(session, with_it, "longer", NOW, keys=KEYS, days=2)
    assert caught.value.code == "token_outlives"
    session.get_one(Token, lent.jti).session = True  # as signing in makes it
    tokens.new(session, with_it, "longer", NOW, keys=KEYS, days=90)


def test_a_token_of_which_nobody_says_how_long_it_lives_ends_with_the_one_that_made_it(
    session: Session, ada: Caller
) -> None:
    lent = tokens.new(session, ada, "ci", NOW, keys=KEYS, days=30)
    session.flush()
    later, with_it = NOW + timedelta(days=10, seconds=1), Caller("ada", ada.roles, lent.jti)

    days, limit = tokens.usual_days(session, with_it, later, 30)
    made = tokens.new(session, with_it, "x", later, keys=KEYS, days=days)
    assert (made.expires, limit) == (lent.expires, lent.jti)
    assert tokens.usual_days(session, with_it, later, 7) == (7, ""), "there is enough left"
    assert tokens.usual_days(session, ada, later, 30) == (30, ""), "who signed in by password may make any"


def test_who_may_push_nothing_is_told_which_role_each_kind_takes() -> None:
    user = policy.caller("uwe", ["user"])
    with pytest.raises(Forbidden) as caught:
        policy.check_any(user, (Verb.PUSH_MODELS, Verb.PUSH_APPS))
    assert caught.value.message == "uwe may neither push models nor push apps"
    assert caught.value.hint.startswith(
        "to push models takes the role ai_developer; to push apps takes the role app_developer; "
    )
    policy.check_any(policy.caller("ada", ["app_developer"]), (Verb.PUSH_MODELS, Verb.PUSH_APPS))
