"""A device dies while a run goes on: on records in memory."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from fairlead.apps import asks, ground, plan, replacing, runs, stepping, versions, wanted
from fairlead.bundles import manifest
from fairlead.devices import commands, holds, readings, registry
from fairlead.devices.door import Heard
from fairlead.devices.sending import Author
from fairlead.messages import CommandAsk, EnvironmentSpec, Prepared, RunReport
from fairlead.models.pushed import Pushed
from fairlead.schedules import opening, service
from fairlead.schedules.check import Wanted
from fairlead.status import RunStatus
from fairlead.store import journal
from fairlead.store.records import Hold, Run, Schedule, User
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FAN = """
name = "fan"
version = "1.0.0"
[properties.on]
type = "boolean"
access = "rw"
safe = false
"""
APP = """
kind = "app"
name = "cool"
[run]
entry = "app:app"
[devices]
fan = { type = "fan" }
"""


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def hear(session: Session, device: str, seconds: float, *, online: bool) -> None:
    moment = later(seconds)
    readings.record(session, [readings.Kept(Heard(device, moment, moment, online=online))], moment)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        session.add(User(name="ada", roles=("user",), created_at=NOON))
        session.flush()
        registry.add_type(session, FAN, NOON, by="root")
        registry.add_location(session, "lab", NOON, by="root")
        parsed = manifest.parse(APP)
        assert isinstance(parsed, manifest.AppManifest)
        pushed = Pushed(manifest=parsed, environment=EnvironmentSpec(), digest="d1", key="bundles/d1.zip", size_bytes=9)
        versions.register(session, pushed, NOON, by="ada")
        versions.prepared(session, Prepared("app", "cool", "1", "d1", "done"), NOON)
        for fan in ("fan-1", "fan-2"):
            registry.add_device(session, fan, NOON, by="root", type="fan", at="lab")
            hear(session, fan, 0, online=True)
        yield session


def ready(session: Session, **more: object) -> Run:
    """Return a run that is ready, with fan-1, which it has switched on."""
    service.run_once(session, Wanted(app="cool", at="lab", name="now", **more), NOON, by="ada")  # type: ignore[arg-type]
    opening.fire(session, NOON)
    step(session, 0)
    run = session.scalars(select(Run)).one()
    step(session, 1, RunReport(run.id, RunStatus.READY))
    assert run.bindings == {"fan": ("fan-1",)}
    asks.command(session, CommandAsk(run.id, "fan", "fan-1", {"on": True}), later(2))
    return run


def step(session: Session, seconds: float, *reports: RunReport) -> None:
    seen = {report.run: plan.Seen(report) for report in reports}
    stepping.step(session, seen, later(seconds), lambda name: f"http://{name}")


def said(session: Session, run: Run) -> list[str]:
    return [event.said for event in journal.history(session, "run", run.id)]


def test_a_spare_takes_the_place_of_a_device_that_stays_away_and_its_claims_are_released(session: Session) -> None:
    run = ready(session)
    hear(session, "fan-1", 10, online=False)

    assert replacing.replace_gone(session, later(24)) == runs.Outcome()
    outcome = replacing.replace_gone(session, later(25))

    assert run.bindings == {"fan": ("fan-2",)}
    assert outcome.moved == (run.id,)
    assert [out.device for out in outcome.outgoing] == ["fan-1"]  # its safe value
    assert said(session, run)[-1] == ("fan: fan-2 in the place of fan-1, which has been offline since 12:00:10 UTC")
    assert wanted.runs(session)[0].bindings["fan"].devices == ("fan-2",)
    asks.command(session, CommandAsk(run.id, "fan", "fan-2", {"on": True}), later(26))
    assert replacing.replace_gone(session, later(90)) == runs.Outcome()


def test_one_that_comes_back_in_time_stays(session: Session) -> None:
    run = ready(session)
    hear(session, "fan-1", 10, online=False)
    hear(session, "fan-1", 20, online=True)

    replacing.replace_gone(session, later(60))

    assert run.bindings == {"fan": ("fan-1",)}


def test_one_that_was_not_there_at_a_look_has_a_minute(session: Session) -> None:
    run = ready(session)
    readings.absent(session, {"fan-2"}, "it was not connected", asked=later(5), now=later(10))

    replacing.replace_gone(session, later(69))
    assert run.bindings == {"fan": ("fan-1",)}
    replacing.replace_gone(session, later(70))

    assert run.bindings == {"fan": ("fan-2",)}


def test_without_a_spare_it_is_said_once(session: Session) -> None:
    run = ready(session)
    hear(session, "fan-2", 10, online=False)
    hear(session, "fan-1", 10, online=False)

    for seconds in (30, 31, 32):
        replacing.replace_gone(session, later(seconds))

    lacking = "fan: fan-1 has been offline since 12:00:10 UTC; no other fan is free and online at lab"
    assert [text for text in said(session, run) if "offline" in text] == [lacking]
    hear(session, "fan-2", 40, online=True)
    replacing.replace_gone(session, later(41))
    assert run.bindings == {"fan": ("fan-2",)}


def test_a_device_that_the_schedule_fixed_stays(session: Session) -> None:
    run = ready(session, bind={"fan": ("fan-1",)})
    hear(session, "fan-1", 10, online=False)

    replacing.replace_gone(session, later(100))

    assert run.bindings == {"fan": ("fan-1",)}
    assert said(session, run)[-1].endswith("its schedule names this device (--bind)")


def statements(session: Session) -> list[str]:
    seen: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *told: seen.append(str(told[2])))
    return seen


def test_that_there_is_no_spare_is_remembered_until_something_moves(session: Session) -> None:
    ready(session)
    before = replacing.look(session, later(5), None)
    assert (before.is_due, before.next_at) == (False, None)
    for fan in ("fan-1", "fan-2"):
        hear(session, fan, 10, online=False)

    away = replacing.look(session, later(11), before)
    assert (away.is_due, away.next_at) == (False, later(25))
    gone = replacing.look(session, later(25), away)
    assert gone.is_due
    replacing.replace_gone(session, later(25))
    told = replacing.look(session, later(26), gone)
    assert not told.is_due
    session.flush()
    seen = statements(session)
    assert not replacing.look(session, later(27), told).is_due
    assert len(seen) == 2, seen

    hear(session, "fan-2", 40, online=True)
    assert replacing.look(session, later(41), told).is_due


def test_a_clock_that_went_back_has_all_devices_looked_at_anew(session: Session) -> None:
    ready(session)
    hear(session, "fan-1", 10, online=False)
    before = replacing.look(session, later(20), None)
    session.flush()
    seen = statements(session)

    assert replacing.look(session, later(5), before).next_at == later(25)
    assert len(seen) > 2, seen


def test_a_zone_that_is_not_known_any_more_keeps_no_run_from_its_devices(session: Session) -> None:
    run = ready(session)
    session.get_one(Schedule, run.schedule).zone = "Mars/Olympus"
    run.ends_at = later(3600)
    session.flush()

    assert ground.taken(session)["fan-1"][0].until == "2026-11-20 13:00 UTC"


def test_what_a_run_claims_on_many_devices_is_released_bit_by_bit(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds, "DEVICES_MAX", 1)
    run = ready(session)
    commands.ask(session, "fan-2", {"on": True}, later(2), Author("app", "ada", run.id))
    runs.stop(session, run.id, later(3), by="ada")
    step(session, 4)
    assert session.scalars(select(Hold.device)).all() == ["fan-2"]
    following = commands.next_at(session)
    assert following is not None
    assert following <= later(4)  # the sweep comes at once

    assert "fan-2" in {one.device for one in commands.sweep(session, later(4))}

    assert session.scalars(select(Hold.device)).all() == []
    assert holds.left(session) is None
