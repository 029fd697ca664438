"""Models from push to rollback, with what keepers would report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts import service as accounts
from fairlead.accounts.policy import SYSTEM, Caller, Role
from fairlead.bundles.manifest import ModelManifest, parse
from fairlead.clock import to_text
from fairlead.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from fairlead.identity.seal import Sealer
from fairlead.logs.facts import why
from fairlead.messages import EnvironmentSpec, ErrorInfo, Evidence, NodeReport, Prepared, Target, Tried, VersionReport
from fairlead.models import access, aliases, queries, report, service, wanted
from fairlead.models.pushed import Pushed
from fairlead.models.service import Push
from fairlead.status import VersionStatus
from fairlead.store.records import App, Event, ModelVersion
from fairlead.testing.store import memory

NOW = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
ADA = Caller("ada", frozenset({Role.AI_DEVELOPER}))
BOB = Caller("bob", frozenset({Role.AI_DEVELOPER}))
EVE = Caller("eve", frozenset({Role.CONFIGURER}))
SEALER = Sealer(bytes(32))
USER = Caller("zoe", frozenset({Role.USER}))


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as opened:
        for name, role in [("ada", "ai_developer"), ("bob", "ai_developer"), ("eve", "configurer")]:
            accounts.add(opened, SYSTEM, name, [role], None, NOW)
        opened.flush()
        yield opened


def manifest(name: str = "flowers", version: str | None = None, more: str = "") -> ModelManifest:
    number = f'version = "{version}"\n' if version else ""
    text = f'kind = "model"\nname = "{name}"\n{number}{more}\n[run]\nentry = "model:predict"\n'
    found = parse(text)
    assert isinstance(found, ModelManifest)
    return found


def push(
    session: Session, content: str, at_s: float = 0, who: Caller = ADA, alias: str = "production", **more: str
) -> Push:
    pushed = Pushed(
        manifest=manifest(**more),
        digest=content,
        size_bytes=10,
        key=f"bundles/{content}.zip",
        environment=EnvironmentSpec(("numpy",)),
    )
    return service.push(session, who, pushed, NOW + timedelta(seconds=at_s), alias)


def node(session: Session, *fail: str) -> NodeReport:
    """Report what a keeper would that does what it is told and succeeds, but for the digests in ``fail``."""
    prepared, versions = [], []
    for version in wanted.versions(wanted.load(session), NOW, SEALER):
        names = (version.spec.name, version.spec.version)
        bad = version.digest in fail
        error = ErrorInfo("import_failed", "no PIL", "add it") if bad else None
        step = "failed" if bad else "done"
        prepared.append(Prepared("model", *names, version.digest, step, error=error, attempt=version.attempt))
        if not version.prepare:
            versions.append(VersionReport(*names, VersionStatus.READY, attempt=version.attempt))
    return NodeReport("local", 1, "2026-11-20T14:03:00Z", prepared=tuple(prepared), versions=tuple(versions))


def settle(session: Session, *fail: str, at_s: float = 0) -> None:
    for _ in range(10):
        if not report.reconcile(session, [node(session, *fail)], NOW + timedelta(seconds=at_s)):
            return
    raise AssertionError("it does not come to rest")


def status(session: Session, number: str) -> VersionStatus:
    return queries.version_of(session, "flowers", number).status


def targets(session: Session, alias: str = "production") -> str:
    return aliases.say(queries.alias_of(session, "flowers", alias).targets)


def test_a_push_becomes_ready_and_takes_production(session: Session) -> None:
    pushed = push(session, "a")
    assert (pushed.version.version, pushed.again) == ("1", False)
    with pytest.raises(Unavailable) as early:
        queries.resolve(session, ADA, "flowers")
    assert early.value.code == "model_not_ready"
    (building,) = wanted.versions(wanted.load(session), NOW, SEALER)
    assert (building.prepare, building.replicas, building.environment.requires) == (True, 0, ("numpy",))
    settle(session)
    assert status(session, "1") is VersionStatus.READY
    assert queries.resolve(session, USER, "flowers") == "1"
    (live,) = wanted.versions(wanted.load(session), NOW, SEALER)
    assert (live.prepare, live.replicas, live.proven, live.may_sleep) == (False, 1, True, True)
    (later,) = wanted.versions(wanted.load(session), NOW + timedelta(days=1), SEALER)
    assert later.replicas == 0
    events = session.scalars(select(Event).where(Event.ref == "flowers@1").order_by(Event.id))
    assert [event.status_to for event in events] == ["building", "starting", "ready"]


def test_versions_count_and_the_same_content_is_the_same_version(session: Session) -> None:
    assert push(session, "a").version.version == "1"
    assert push(session, "b").version.version == "2"
    again = push(session, "a")
    assert (again.version.version, again.again) == ("1", True)
    assert push(session, "c", version="7").version.version == "7"
    assert push(session, "d", version="1.5").version.version == "1.5"
    assert push(session, "e").version.version == "8"


def test_other_content_under_a_taken_version_is_refused(session: Session) -> None:
    push(session, "a", version="1.2.0")
    assert push(session, "a", version="1.2.0").again
    with pytest.raises(Conflict) as refused:
        push(session, "b", version="1.2.0")
    assert refused.value.code == "version_exists"


def test_a_new_version_replaces_the_old_and_a_rollback_brings_it_back(session: Session) -> None:
    push(session, "a")
    settle(session)
    push(session, "b", 1)
    settle(session, at_s=2)
    assert (status(session, "1"), status(session, "2")) == (VersionStatus.RETIRED, VersionStatus.READY)
    (route,) = wanted.routes(wanted.load(session))
    assert (route.versions, route.gone) == (("2",), ("1",))
    with pytest.raises(NotFound) as gone:
        queries.resolve(session, ADA, "flowers", "1")
    assert gone.value.code == "version_gone"
    aliases.rollback(session, ADA, "flowers", NOW + timedelta(seconds=3))
    settle(session, at_s=4)
    assert targets(session) == "1"
    assert (status(session, "1"), status(session, "2")) == (VersionStatus.READY, VersionStatus.RETIRED)
    said = session.scalars(select(Event.said).where(Event.kind == "alias").order_by(Event.id)).all()
    assert said == ["→ 1", "1 → 2", "2 → 1"]


def test_a_second_rollback_does_not_undo_the_first(session: Session) -> None:
    push(session, "a")
    settle(session)
    push(session, "b", 1)
    settle(session, at_s=2)
    aliases.rollback(session, ADA, "flowers", NOW + timedelta(seconds=3))
    settle(session, at_s=4)

    with pytest.raises(Conflict) as refused:
        aliases.rollback(session, ADA, "flowers", NOW + timedelta(seconds=5))

    assert refused.value.code == "nothing_before"
    assert "was put back to 1 already, by ada at " in refused.value.message
    assert refused.value.message.endswith("2 was before that")
    assert "models alias flowers production=VERSION" in refused.value.hint
    assert targets(session) == "1"
    aliases.move_alias(session, ADA, "flowers", "production", [Target("2", 1)], NOW + timedelta(seconds=6))
    aliases.rollback(session, ADA, "flowers", NOW + timedelta(seconds=7))
    assert targets(session) == "1"


def test_why_a_model_is_as_it_is_begins_with_what_production_names(session: Session) -> None:
    push(session, "a")
    settle(session)
    push(session, "bad", 1)
    settle(session, "bad", at_s=2)

    answer = why(session, "flowers", NOW + timedelta(minutes=5)).answer

    assert answer.startswith("flowers@production names 1. flowers@2 has failed")


def test_an_alias_set_to_what_it_is_changes_nothing_and_a_rollback_goes_to_what_was_different(session: Session) -> None:
    push(session, "a")
    settle(session)
    push(session, "b", 1, alias="staging")
    settle(session, at_s=2)
    both = (Target("2", 10), Target("1", 90))
    aliases.move_alias(session, ADA, "flowers", "production", both, NOW + timedelta(seconds=3))
    for at_s, alone in enumerate((Target("2", 10), Target("2", 100), Target("2", 7)), 4):
        aliases.move_alias(session, ADA, "flowers", "production", (alone,), NOW + timedelta(seconds=at_s))
    assert targets(session) == "2"
    assert queries.alias_of(session, "flowers", "production").moved_at == NOW + timedelta(seconds=4)

    aliases.rollback(session, ADA, "flowers", NOW + timedelta(seconds=9))

    assert targets(session) == "2:10,1:90"


def test_a_failed_push_leaves_the_old_version_alone_and_can_be_pushed_again(session: Session) -> None:
    push(session, "a")
    settle(session)
    push(session, "bad", 1)
    settle(session, "bad", at_s=2)
    assert (status(session, "1"), status(session, "2")) == (VersionStatus.READY, VersionStatus.FAILED)
    assert targets(session) == "1"
    failed = queries.version_of(session, "flowers", "2")
    assert failed.reason == "no PIL"
    assert [version.spec.version for version in wanted.versions(wanted.load(session), NOW, SEALER)] == ["1"]
    again = push(session, "bad", 3)
    assert (again.again, again.version.attempt, again.version.status) == (True, 1, VersionStatus.BUILDING)
    settle(session, at_s=4)
    assert targets(session) == "2"


def test_of_two_pushes_the_later_holds_production_whichever_is_ready_first(session: Session) -> None:
    push(session, "slow")
    push(session, "fast", 1)
    fast = msgspec.structs.replace(node(session), prepared=(Prepared("model", "flowers", "2", "fast", "done"),))
    report.reconcile(session, [fast], NOW + timedelta(seconds=2))
    ready = msgspec.structs.replace(fast, versions=(VersionReport("flowers", "2", VersionStatus.READY),))
    report.reconcile(session, [ready], NOW + timedelta(seconds=3))
    assert targets(session) == "2"
    settle(session, at_s=4)
    assert targets(session) == "2"
    assert status(session, "1") is VersionStatus.RETIRED


def test_an_alias_of_its_own_takes_only_that_and_none_takes_nothing(session: Session) -> None:
    push(session, "a")
    settle(session)
    push(session, "b", 1, alias="staging")
    push(session, "c", 1, alias="none")
    settle(session, at_s=2)
    assert (targets(session), targets(session, "staging")) == ("1", "2")
    assert status(session, "3") is VersionStatus.RETIRED
    aliases.move_alias(session, ADA, "flowers", "canary", [Target("3", 1)], NOW)
    settle(session)
    assert status(session, "3") is VersionStatus.READY
    aliases.remove_alias(session, ADA, "flowers", "canary", NOW)
    with pytest.raises(Conflict):
        aliases.remove_alias(session, ADA, "flowers", "production", NOW)


def test_weights_make_a_canary(session: Session) -> None:
    push(session, "a")
    settle(session)
    push(session, "b", 1, alias="staging")
    settle(session)
    canary = [Target("2", 10), Target("1", 90)]
    aliases.move_alias(session, ADA, "flowers", "production", canary, NOW)
    assert targets(session) == "2:10,1:90"
    assert queries.resolve(session, ADA, "flowers", chance=0.05) == "2"
    assert queries.resolve(session, ADA, "flowers", chance=0.5) == "1"
    assert queries.resolve(session, ADA, "flowers", chance=1.0) == "1"


@pytest.mark.parametrize(
    ("alias", "moved", "wrong"),
    [
        ("1staging", [Target("1")], Invalid),
        ("none", [Target("1")], Invalid),
        ("staging", [], Invalid),
        ("staging", [Target("1"), Target("1")], Invalid),
        ("staging", [Target("1", 0)], Invalid),
        ("staging", [Target("1", -1)], Invalid),
        ("staging", [Target("9")], NotFound),
        ("staging", [Target("2")], Conflict),
    ],
)
def test_wrong_moves_are_refused(session: Session, alias: str, moved: list[Target], wrong: type[Exception]) -> None:
    push(session, "a")
    settle(session)
    push(session, "b", 1)
    with pytest.raises(wrong):
        aliases.move_alias(session, ADA, "flowers", alias, moved, NOW)


def test_nothing_can_be_rolled_back_to_where_nothing_was(session: Session) -> None:
    push(session, "a")
    settle(session)
    with pytest.raises(Conflict) as refused:
        aliases.rollback(session, ADA, "flowers", NOW)
    assert refused.value.code == "nothing_before"


def test_only_the_owner_and_configurers_change_a_model(session: Session) -> None:
    push(session, "a")
    settle(session)
    for act in (
        lambda: push(session, "b", who=BOB),
        lambda: aliases.move_alias(session, BOB, "flowers", "x", [Target("1")], NOW),
        lambda: aliases.move_alias(session, USER, "flowers", "x", [Target("1")], NOW),
        lambda: push(session, "b", who=USER),
        lambda: access.grant(session, ADA, "flowers", "public", True, NOW),
        lambda: access.set_visibility(session, ADA, "flowers", "public", NOW),
    ):
        with pytest.raises(Forbidden):
            act()
    aliases.move_alias(session, EVE, "flowers", "x", [Target("1")], NOW)


def test_a_private_model_is_not_there_for_others(session: Session) -> None:
    push(session, "a", more='access = {visibility = "private"}')
    settle(session)
    for who in (BOB, USER, None):
        with pytest.raises(NotFound):
            queries.resolve(session, who, "flowers")
        assert queries.list_all(session, who) == []
    assert queries.resolve(session, EVE, "flowers") == "1"


def test_public_is_a_request_until_a_configurer_grants_it(session: Session) -> None:
    push(session, "a", more='access = {visibility = "public"}\nnetwork = {outbound = true}')
    settle(session)
    model = queries.get(session, ADA, "flowers")
    assert (model.visibility, model.asked) == ("team", ("public", "outbound"))
    assert not wanted.versions(wanted.load(session), NOW, SEALER)[0].outbound
    access.grant(session, EVE, "flowers", "public", True, NOW)
    access.grant(session, EVE, "flowers", "outbound", True, NOW)
    assert queries.get(session, None, "flowers").visibility == "public"
    assert wanted.versions(wanted.load(session), NOW, SEALER)[0].outbound
    access.grant(session, EVE, "flowers", "public", False, NOW)
    assert model.visibility == "team"


def test_a_version_changes_who_may_call_only_when_it_takes_production(session: Session) -> None:
    push(session, "a", more='access = {visibility = "private"}')
    settle(session)
    push(session, "b", 1, more='access = {visibility = "team"}')
    model = queries.get(session, ADA, "flowers")
    assert model.visibility == "private"
    settle(session, at_s=2)
    assert model.visibility == "team"


def test_names_are_shared_with_apps(session: Session) -> None:
    session.add(App(name="flowers", owner="ada", created_at=NOW))
    session.flush()
    with pytest.raises(Conflict) as refused:
        push(session, "a")
    assert refused.value.code == "name_taken"


def test_a_path_of_another_model_is_refused(session: Session) -> None:
    route = 'routes = [{path = "/late"}]'
    push(session, "a", more=route)
    settle(session)
    (found,) = wanted.routes(wanted.load(session))
    assert [extra.path for extra in found.extra] == ["/late"]
    with pytest.raises(Conflict) as refused:
        push(session, "b", name="other", more=route)
    assert refused.value.code == "route_taken"
    push(session, "c", more=route)


def test_a_path_is_taken_from_the_push_on_and_given_back_with_production(session: Session) -> None:
    """S-43: of two that are on their way at once one has the path; no alias brings a clash back."""
    route = 'routes = [{path = "/late"}]'
    push(session, "a", more=route)  # not ready yet
    with pytest.raises(Conflict) as refused:
        push(session, "b", name="other", more=route)
    assert (refused.value.code, "flowers" in refused.value.message) == ("route_taken", True)
    settle(session)
    push(session, "c", 1)  # without the path
    settle(session, at_s=2)
    push(session, "b", 3, name="other", more=route)
    settle(session, at_s=4)
    for back in (
        lambda: aliases.rollback(session, ADA, "flowers", NOW),
        lambda: aliases.move_alias(session, ADA, "flowers", "production", (Target("1"),), NOW),
    ):
        with pytest.raises(Conflict) as refused:
            back()
        assert refused.value.code == "route_taken"
    aliases.move_alias(session, ADA, "flowers", "staging", (Target("1"),), NOW)


def test_retiring(session: Session) -> None:
    push(session, "a")
    settle(session)
    with pytest.raises(Conflict):
        service.retire(session, ADA, "flowers", "1", NOW)
    push(session, "b", 1)
    given_up = service.retire(session, ADA, "flowers", "2", NOW)
    assert given_up.status is VersionStatus.FAILED
    settle(session)
    assert targets(session) == "1"
    assert session.scalar(select(ModelVersion.takes).where(ModelVersion.version == "2")) is None


def test_a_removed_version_is_not_there_until_its_content_is_pushed_again(session: Session) -> None:
    push(session, "a")
    settle(session)
    push(session, "b", 1)
    settle(session, at_s=1)
    service.retire(session, ADA, "flowers", "1", NOW)

    with pytest.raises(NotFound):
        service.retire(session, ADA, "flowers", "1", NOW)
    with pytest.raises(NotFound):
        aliases.move_alias(session, ADA, "flowers", "production", (Target("1"),), NOW)
    with pytest.raises(NotFound):
        aliases.rollback(session, ADA, "flowers", NOW)
    assert [one.version for one in queries.versions_of(session, "flowers")] == ["2"]
    noted = [(one.said, one.by) for one in session.scalars(select(Event).where(Event.ref == "flowers@1"))]
    assert noted.count(("removed", "ada")) == 1
    with pytest.raises(Conflict):
        push(session, "c", 2, version="1")  # its number stays taken

    back = push(session, "a", 3)
    settle(session, at_s=3)
    assert (back.version.version, back.again) == ("1", False)
    assert targets(session) == "1"


def test_calls_are_noted_now_and_then(session: Session) -> None:
    push(session, "a")
    settle(session)
    for at, noted in [("14:00:00", "14:00:00"), ("14:00:10", "14:00:00"), ("14:01:00", "14:01:00")]:
        seen = VersionReport("flowers", "1", VersionStatus.READY, last_called=f"2026-11-20T{at}Z")
        report.reconcile(session, [NodeReport("local", 1, "2026-11-20T14:03:00Z", versions=(seen,))], NOW)
        called = queries.version_of(session, "flowers", "1").last_called_at
        assert called is not None
        assert called.strftime("%H:%M:%S") == noted


def test_a_removed_model_is_as_if_it_were_not_there_and_its_name_is_free(session: Session) -> None:
    push(session, "one")
    settle(session)
    push(session, "two")
    with pytest.raises(Forbidden):
        service.remove(session, BOB, "flowers", NOW)
    service.remove(session, ADA, "flowers", NOW)

    with pytest.raises(NotFound):
        queries.get(session, EVE, "flowers")
    assert queries.list_all(session, EVE) == []
    rows = wanted.load(session)
    assert (wanted.versions(rows, NOW, SEALER), wanted.routes(rows)) == ((), ())
    assert queries.versions_of(session, "flowers") == []
    states = {one.version: one.status for one in session.scalars(select(ModelVersion))}
    assert states == {"1": VersionStatus.RETIRED, "2": VersionStatus.FAILED}

    assert push(session, "three", who=BOB).version.version == "3"
    assert queries.get(session, BOB, "flowers").owner == "bob"
    settle(session)
    assert [target.version for target in queries.alias_of(session, "flowers", "production").targets] == ["3"]


def test_a_crash_is_noted_with_its_cause_and_time_and_not_each_of_many(session: Session) -> None:
    push(session, "d1")
    settle(session)

    def crashed(at: datetime, how: str) -> None:
        seen = VersionReport("flowers", "1", VersionStatus.READY, crashed_at=to_text(at), crash=how)
        reports = [NodeReport("local", 1, to_text(at), versions=(seen,))]
        while not report.is_at_rest(session, reports):
            report.reconcile(session, reports, at)
            session.flush()

    for seconds, how in ((10, "exit 3"), (10, "exit 3"), (30, "exit 4"), (90, "signal 9")):
        crashed(NOW + timedelta(seconds=seconds), how)

    said = select(Event.at, Event.said).where(Event.ref == "flowers@1", Event.said.startswith("a replica crashed"))
    assert [tuple(row) for row in session.execute(said.order_by(Event.id))] == [
        (NOW + timedelta(seconds=10), "a replica crashed: exit 3"),
        (NOW + timedelta(seconds=90), "a replica crashed: signal 9"),
    ]
    why_told = why(session, "flowers", NOW + timedelta(minutes=5))
    assert any(fact.said == "a replica crashed: signal 9" for fact in why_told.chain)


def test_how_examples_went_is_kept_when_they_went_otherwise_or_a_while_later(session: Session) -> None:
    push(session, "d1")
    settle(session)

    def went(seconds: float, ok: bool) -> Evidence | None:
        at = NOW + timedelta(seconds=seconds)
        seen = VersionReport(
            "flowers", "1", VersionStatus.READY, evidence=Evidence(to_text(at), "r", (Tried("one", ok),))
        )
        reports = [NodeReport("local", 1, to_text(at), versions=(seen,))]
        while not report.is_at_rest(session, reports):
            report.reconcile(session, reports, at)
            session.flush()
        return session.get_one(ModelVersion, ("flowers", "1")).evidence

    assert went(10, True) == Evidence(to_text(NOW + timedelta(seconds=10)), "r", (Tried("one", True),))
    assert [went(seconds, True).at for seconds in (5, 20, 69)] == [to_text(NOW + timedelta(seconds=10))] * 3  # type: ignore[union-attr]
    assert went(30, False) == Evidence(to_text(NOW + timedelta(seconds=30)), "r", (Tried("one", False),))
    assert went(91, False) == Evidence(to_text(NOW + timedelta(seconds=91)), "r", (Tried("one", False),))


def test_f09_each_ejection_and_each_return_is_noted_once(session: Session) -> None:
    push(session, "d1")
    settle(session)

    def shifted(at: datetime, how: str) -> None:
        seen = VersionReport("flowers", "1", VersionStatus.READY, shifted_at=to_text(at), shift=how)
        reports = [NodeReport("local", 1, to_text(at), versions=(seen,))]
        while not report.is_at_rest(session, reports):
            report.reconcile(session, reports, at)
            session.flush()

    out = "a replica is ejected: flowers-1 slow: 510 ms a call, the others take 51 ms"
    back = "a replica is ejected no more: flowers-1: it is as quick as the others"
    for seconds, how in ((10, out), (10, out), (40, back), (40, back)):
        shifted(NOW + timedelta(seconds=seconds), how)

    told = [fact for fact in why(session, "flowers", NOW + timedelta(minutes=5)).chain if "ejected" in fact.said]
    assert [(fact.at, fact.said) for fact in told] == [
        (NOW + timedelta(seconds=10), out),
        (NOW + timedelta(seconds=40), back),
    ]
