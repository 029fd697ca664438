"""Secrets of bundles: who may set them, what a push needs, and when one may go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts import service as accounts
from fairlead.accounts import vault
from fairlead.accounts.policy import SYSTEM, Caller, Role
from fairlead.apps import versions as apps
from fairlead.bundles.manifest import AppManifest, ModelManifest, parse
from fairlead.errors import Error, Invalid
from fairlead.identity.seal import Sealer, secret_name
from fairlead.logs import retention
from fairlead.messages import EnvironmentSpec
from fairlead.models import service, wanted
from fairlead.models.pushed import Pushed
from fairlead.store.records import Event, FormerSecret, Model, Secret
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
SEALER = Sealer(bytes(32))
ADA = Caller("ada", frozenset({Role.AI_DEVELOPER, Role.APP_DEVELOPER}))
BOB = Caller("bob", frozenset({Role.AI_DEVELOPER, Role.APP_DEVELOPER}))
EVE = Caller("eve", frozenset({Role.CONFIGURER}))
ZOE = Caller("zoe", frozenset({Role.USER}))
VALUE = "s3cr3t-of-mood"


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        for caller in (ADA, BOB, EVE, ZOE):
            accounts.add(opened, SYSTEM, caller.name, [role.value for role in caller.roles], None, NOW)
        opened.flush()
        yield opened


def put(session: Session, name: str = "API_KEY", value: str = VALUE, who: Caller = ADA, bundle: str = "mood") -> Secret:
    return vault.put(session, who, bundle, name, value, NOW, sealer=SEALER)


def push(session: Session, *secrets: str, who: Caller = ADA, digest: str = "d1") -> service.Push:
    text = f'kind = "model"\nname = "mood"\n[run]\nentry = "model:predict"\nsecrets = {list(secrets)}\n'
    manifest = parse(text)
    assert isinstance(manifest, ModelManifest)
    pushed = Pushed(
        manifest=manifest, digest=digest, size_bytes=1, key=f"bundles/{digest}", environment=EnvironmentSpec()
    )
    return service.push(session, who, pushed, NOW)


def code(call: object) -> str:
    with pytest.raises(Error) as caught:
        call()  # type: ignore[operator]
    assert caught.value.hint
    return caught.value.code


def test_a_value_is_kept_sealed_and_noted_without_it(session: Session) -> None:
    kept = put(session)

    assert VALUE.encode() not in kept.sealed
    assert SEALER.open(kept.sealed, secret_name("mood", "API_KEY")) == VALUE
    notes = [f"{event.ref} {event.said}" for event in session.scalars(select(Event).where(Event.kind == "secret"))]
    assert notes == ["mood/API_KEY set"]


def test_a_push_whose_secret_is_missing_names_it_and_the_command(session: Session) -> None:
    with pytest.raises(Invalid) as caught:
        push(session, "API_KEY", "OTHER")
    assert caught.value.code == "secret_missing"
    assert "API_KEY, OTHER" in caught.value.message
    assert "fairlead secrets set mood API_KEY" in caught.value.hint
    assert [problem.hint for problem in caught.value.problems][1] == "fairlead secrets set mood OTHER"


def test_what_is_set_reaches_nodes_sealed_and_a_new_value_anew(session: Session) -> None:
    put(session)
    push(session, "API_KEY")

    (first,) = wanted.versions(wanted.load(session), NOW, SEALER)
    assert SEALER.open(first.secrets["API_KEY"], secret_name("mood", "API_KEY")) == VALUE
    put(session, value="another")
    (second,) = wanted.versions(wanted.load(session), NOW, SEALER)
    assert first.secrets != second.secrets


def test_who_takes_a_name_takes_nobodys_secrets(session: Session) -> None:
    put(session, who=ADA)

    assert code(lambda: put(session, who=BOB)) == "not_owner"
    assert code(lambda: push(session, "API_KEY", who=BOB)) == "secret_missing"
    session.rollback()


def test_a_removed_model_leaves_no_secret_to_the_next_of_its_name(session: Session) -> None:
    put(session)
    push(session, "API_KEY")
    service.remove(session, ADA, "mood", NOW)

    assert session.scalars(select(Secret)).all() == []
    assert code(lambda: push(session, "API_KEY", who=BOB, digest="d2")) == "secret_missing"


def test_only_the_owner_and_configurers_set_see_and_remove(session: Session) -> None:
    put(session)
    push(session, "API_KEY")

    assert code(lambda: put(session, who=ZOE)) == "role_needed"
    assert code(lambda: put(session, who=BOB)) == "not_owner"
    assert code(lambda: vault.list_of(session, BOB, "mood")) == "not_owner"
    assert vault.list_of(session, BOB) == []
    put(session, who=EVE, value="by eve")
    assert [(one.name, one.set_by) for one in vault.list_of(session, ADA)] == [("API_KEY", "eve")]


def test_secrets_of_a_private_model_are_not_there_for_others(session: Session) -> None:
    push(session)
    session.get_one(Model, "mood").visibility = "private"
    assert code(lambda: put(session, who=BOB)) == "no_such_model"


def test_a_secret_that_a_version_needs_stays(session: Session) -> None:
    put(session)
    put(session, "SPARE")
    push(session, "API_KEY")

    assert code(lambda: vault.remove(session, ADA, "mood", "API_KEY", NOW)) == "secret_in_use"
    vault.remove(session, ADA, "mood", "SPARE", NOW)
    assert code(lambda: vault.remove(session, ADA, "mood", "SPARE", NOW)) == "secret_not_found"
    service.retire(session, ADA, "mood", "1", NOW)
    vault.remove(session, ADA, "mood", "API_KEY", NOW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("A-B", "x"),
        ("", "x"),
        ("A" * 129, "x"),
        ("A", ""),
        ("A", "a\0b"),
        ("A", "a\x01b"),
        ("A", "x" * 8193),
        ("A", "\ud800"),
    ],
)
def test_what_no_environment_takes_is_refused(session: Session, name: str, value: str) -> None:
    assert code(lambda: put(session, name, value)) == "secret_invalid"


def test_all_secrets_of_a_bundle_together_are_bounded(session: Session) -> None:
    for index in range(5):
        put(session, f"S{index}", "x" * 8192)
    assert code(lambda: put(session, "LAST", "x" * 8192)) == "secret_invalid"
    put(session, "S0", "y" * 8192)  # in place of one that counts already


def test_apps_need_theirs_too(session: Session) -> None:
    manifest = parse('kind = "app"\nname = "mood"\n[run]\nentry = "app:app"\nsecrets = ["API_KEY"]\n')
    assert isinstance(manifest, AppManifest)
    pushed = Pushed(manifest=manifest, environment=EnvironmentSpec(), digest="a1", key="k", size_bytes=1)

    assert code(lambda: apps.register(session, pushed, NOW, by="ada")) == "secret_missing"
    session.rollback()
    for caller in (ADA, BOB):
        accounts.add(session, SYSTEM, caller.name, [role.value for role in caller.roles], None, NOW)
    put(session)
    apps.register(session, pushed, NOW, by="ada")
    (app,) = apps.wanted(session)
    assert SEALER.open(app.secrets["API_KEY"], secret_name("mood", "API_KEY")) == VALUE
    assert code(lambda: vault.remove(session, ADA, "mood", "API_KEY", NOW)) == "secret_in_use"


def shown(session: Session, text: str) -> list[str]:
    """Return a line of a log of ``mood``, and of the platform, as it is shown."""
    masks = vault.masks(session, ["mood", ""], SEALER)
    return [masks[bundle](text) for bundle in ("mood", "")]


def test_what_a_secret_was_is_not_shown_either(session: Session) -> None:
    push(session)
    for value in ("first-value", "second-value", "second-value", "x"):
        put(session, value=value)
    said = "key is first-value, then second-value"
    assert shown(session, said) == ["key is ***, then ***"] * 2
    assert len(session.scalars(select(FormerSecret)).all()) == 2
    assert b"first-value" not in b"".join(one.sealed for one in session.scalars(select(FormerSecret)))

    put(session, value="third-value")
    vault.remove(session, ADA, "mood", "API_KEY", NOW)
    assert shown(session, "third-value") == ["***"] * 2


def test_former_values_go_with_their_bundle_and_when_there_are_very_many(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FORMER_MAX", 2)
    push(session)
    for number in range(5):
        put(session, value=f"value-{number}")
    (kind,) = [one for one in retention.KINDS if one.name == "former secret"]
    soon, later = NOW, NOW + timedelta(days=1)

    assert retention.over(session, kind, soon) == []
    gone = retention.over(session, kind, later)
    assert retention.drop(session, kind, gone, later) == 2
    assert shown(session, "value-3 value-1") == ["*** value-1"] * 2

    service.remove(session, ADA, "mood", NOW)
    assert shown(session, "value-4") == ["***"] * 2
    assert len(retention.over(session, kind, later)) == 3


def test_a_secret_that_nothing_asks_for_is_said(session: Session) -> None:
    assert vault.unasked(session, ADA, "mood", "API_KEY") == (
        "there is no model or app mood yet: it counts once you push one"
    )
    put(session)
    push(session, "API_KEY")

    assert vault.unasked(session, ADA, "mood", "API_KEY") == ""
    assert vault.unasked(session, ADA, "mood", "API_KEYY") == (
        "no version of mood asks for API_KEYY in run.secrets; did you mean API_KEY?"
    )
    assert vault.unasked(session, ADA, "moood", "API_KEY").endswith("; did you mean mood?")
    session.get_one(Model, "mood").visibility = "private"
    assert "mood?" not in vault.unasked(session, ZOE, "moood", "API_KEY")


def test_an_empty_value_is_called_empty(session: Session) -> None:
    with pytest.raises(Invalid, match="the value of API_KEY is empty"):
        put(session, "API_KEY", "")
