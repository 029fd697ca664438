"""Registry, readings and commands on records in memory."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from fairlead.bus.gate import password_hash
from fairlead.devices import arbiter, changes, commands, history, holds, overview, readings, registry, removal
from fairlead.devices.door import Ack, Door, Heard
from fairlead.devices.sending import Author, Outgoing
from fairlead.devices.types import Measurement
from fairlead.errors import Conflict, Invalid, NotFound
from fairlead.status import CommandStatus, DeviceStatus
from fairlead.store import journal
from fairlead.store.records import Command, Event, Hold
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FAN = """
name = "fan"
version = "1.1.0"
[properties.on]
type = "boolean"
access = "rw"
safe = false
[properties.speed]
type = "integer"
minimum = 0
maximum = 3
access = "rw"
[properties.temperature]
type = "number"
fresh_s = 120
max_per_s = 2
"""
APP = Author("app", user="ada", run="run-1")
OTHER = Author("app", user="eve", run="run-2")
ADA = Author("human", user="ada")


def later(**delta: float) -> datetime:
    return NOON + timedelta(**delta)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        registry.add_type(session, FAN, NOON, by="root")
        registry.add_location(session, "campus/lab", NOON, by="root", zone="Europe/Berlin")
        registry.add_device(session, "fan-1", NOON, by="root", type="fan@1", at="campus/lab")
        say(session, online=True)
        yield session


def say(
    session: Session, now: datetime = NOON, *, online: bool | None = None, ack: Ack | None = None, **values: object
) -> tuple[Outgoing, ...]:
    measured = tuple(Measurement(name, value) for name, value in values.items())
    heard = Heard("fan-1", now, now, measured=measured, online=online, ack=ack)
    return readings.record(session, [readings.Kept(heard)], now)


def sent(out: tuple[Outgoing, ...]) -> list[dict[str, object]]:
    return [msgspec.json.decode(one.payload).get("set") for one in out]


def reason(session: Session, command: str) -> str:
    row = commands.show(session, command)
    return f"{row.status} {row.reason}"


def test_a_password_is_shown_once_and_kept_as_a_hash(session: Session) -> None:
    added = registry.add_device(session, "fan-2", NOON, by="root", type="fan", at="campus/lab")

    assert len(added.password) == 32
    assert added.password.isalnum()
    access = {one.device: one.password_hash for one in registry.access(session)}
    assert access["fan-2"] == password_hash("fan-2", added.password)
    assert added.password not in repr(added.device)


def test_a_place_brings_the_places_above_it_and_their_zone(session: Session) -> None:
    below = registry.add_location(session, "campus/lab/window", NOON, by="root")

    assert below.zone == "Europe/Berlin"
    assert [place.path for place in registry.list_locations(session)] == ["campus", "campus/lab", "campus/lab/window"]


@pytest.mark.parametrize("path", ["", "a//b", "/a", "a/b/c/d/e/f/g", "A", "a.b", "#", "a/+"])
def test_a_bad_place_is_refused(session: Session, path: str) -> None:
    with pytest.raises(Invalid):
        registry.add_location(session, path, NOON, by="root")


@pytest.mark.parametrize("device", ["#", "+", "*", ">", "a.b", "$SYS", "x" * 300, "A", "a b", ""])
def test_a_bad_device_id_is_refused(session: Session, device: str) -> None:
    with pytest.raises(Invalid):
        registry.add_device(session, device, NOON, by="root", type="fan", at="campus/lab")


def test_all_wrong_fields_of_a_device_are_named(session: Session) -> None:
    with pytest.raises(Invalid) as caught:
        registry.add_device(session, "X", NOON, by="root", type="lamp", at="moon")

    assert [problem.path for problem in caught.value.problems] == ["id", "type", "at"]


def test_a_type_never_changes(session: Session) -> None:
    registry.add_type(session, FAN, NOON, by="root")

    with pytest.raises(Conflict, match="other content"):
        registry.add_type(session, FAN.replace("maximum = 3", "maximum = 4"), NOON, by="root")


def test_the_newest_version_of_a_major_is_taken(session: Session) -> None:
    registry.add_type(session, FAN.replace("1.1.0", "1.10.0"), NOON, by="root")
    registry.add_type(session, FAN.replace("1.1.0", "1.9.0"), NOON, by="root")

    assert registry.show_type(session, "fan@1").version == "1.10.0"
    with pytest.raises(NotFound):
        registry.show_type(session, "fan@2")


def test_a_place_in_use_stays(session: Session) -> None:
    with pytest.raises(Conflict, match="in use: device fan-1"):
        removal.remove_location(session, "campus", NOON, by="root")


def test_a_retired_device_is_gone_and_may_come_back(session: Session) -> None:
    registry.retire_device(session, "fan-1", NOON, by="root")

    assert registry.access(session) == ()
    assert registry.kinds(session) == {}
    with pytest.raises(NotFound):
        commands.ask(session, "fan-1", {"on": True}, NOON, APP)
    again = registry.add_device(session, "fan-1", NOON, by="root", type="fan", at="campus/lab")
    assert again.device.status is DeviceStatus.PROVISIONED


def test_a_command_goes_out_is_applied_and_observed(session: Session) -> None:
    asked = commands.ask(session, "fan-1", {"on": True}, NOON, APP)
    row = asked.command

    assert sent(asked.outgoing) == [{"on": True}]
    say(session, later(milliseconds=50), ack=Ack(row.id))
    assert row.status is CommandStatus.APPLIED
    say(session, later(milliseconds=80), on=True)
    assert reason(session, row.id) == "observed after 80 ms"
    history = session.scalars(select(Event.status_to).where(Event.ref == row.id).order_by(Event.id)).all()
    assert history == ["accepted", "sent", "applied", "observed"]


def test_a_state_alone_proves_a_command(session: Session) -> None:
    row = commands.ask(session, "fan-1", {"on": True, "speed": 2}, NOON, APP).command

    say(session, on=True)
    assert row.status is CommandStatus.SENT
    say(session, speed=2)
    assert row.status is CommandStatus.OBSERVED


def test_the_same_id_makes_one_command(session: Session) -> None:
    commands.ask(session, "fan-1", {"on": True}, NOON, APP, command="cmd-x")

    assert commands.ask(session, "fan-1", {"on": True}, NOON, APP, command="cmd-x").outgoing == ()


def test_a_value_out_of_range_is_refused(session: Session) -> None:
    with pytest.raises(Invalid, match="9 is above 3"):
        commands.ask(session, "fan-1", {"speed": 9}, NOON, APP)


def test_no_answer_is_repeated_then_failed_with_its_cause(session: Session) -> None:
    row = commands.ask(session, "fan-1", {"on": True}, NOON, APP).command

    assert sent(commands.sweep(session, later(seconds=1))) == [{"on": True}]
    assert commands.sweep(session, later(seconds=1.1)) == ()
    assert sent(commands.sweep(session, later(seconds=2.6))) == [{"on": True}]
    commands.sweep(session, later(seconds=5))
    assert reason(session, row.id) == "failed no_ack: fan-1 did not answer within 5 s"


def test_an_answer_that_comes_late_or_twice_changes_no_end(session: Session) -> None:
    late = commands.ask(session, "fan-1", {"on": True}, NOON, APP).command
    commands.sweep(session, later(seconds=5))
    assert (late.status, late.reason.split(":")[0]) == (CommandStatus.FAILED, "no_ack")
    for seconds in (6, 7):
        assert say(session, later(seconds=seconds), ack=Ack(late.id), on=True) == ()
    assert (late.status, late.finished_at) == (CommandStatus.FAILED, later(seconds=5))

    twice = commands.ask(session, "fan-1", {"speed": 2}, later(seconds=8), APP).command
    for seconds in (9, 10):
        say(session, later(seconds=seconds), ack=Ack(twice.id), speed=2)
    assert (twice.status, twice.finished_at) == (CommandStatus.OBSERVED, later(seconds=9))
    ends = [event.status_to for event in journal.history(session, "command", twice.id)]
    assert ends.count(CommandStatus.OBSERVED) == 1


def test_applied_but_never_seen_is_a_cause_of_its_own(session: Session) -> None:
    row = commands.ask(session, "fan-1", {"on": True}, NOON, APP).command

    say(session, ack=Ack(row.id))
    commands.sweep(session, later(seconds=5))

    assert row.reason.startswith("not_observed: ")


def test_a_device_may_refuse(session: Session) -> None:
    row = commands.ask(session, "fan-1", {"on": True}, NOON, APP).command

    out = say(session, ack=Ack(row.id, "refused", "filter is full"))

    assert reason(session, row.id) == "failed refused: filter is full"
    assert sent(out) == [{"on": False}]
    assert session.scalars(select(Hold)).all() == []


def test_a_picture_that_was_still_on_its_way_does_not_bring_a_device_back(session: Session) -> None:
    picture = Heard("fan-1", NOON, later(seconds=1), measured=(Measurement("on", True),))
    left = Heard("fan-1", NOON, later(seconds=2), online=False)

    readings.record(session, [readings.Kept(left)], later(seconds=2))
    readings.record(session, [readings.Kept(picture)], later(seconds=3))

    assert registry.show_device(session, "fan-1").status is DeviceStatus.OFFLINE
    speaks = Heard("fan-1", NOON, later(seconds=4), measured=(Measurement("on", True),))
    readings.record(session, [readings.Kept(speaks)], later(seconds=4))
    assert registry.show_device(session, "fan-1").status is DeviceStatus.ONLINE


def test_what_was_online_and_is_not_connected_any_more_is_offline_until_it_speaks(session: Session) -> None:
    """Its last will was lost with the bus."""
    asked, noticed = later(minutes=5), later(minutes=5, seconds=1)

    assert readings.absent(session, {"fan-1"}, "gone", asked=asked, now=noticed) == ()
    assert readings.absent(session, (), "gone", asked=NOON, now=noticed) == ()  # it spoke after that was asked
    assert readings.absent(session, {"fan-2"}, "gone", asked=asked, now=noticed) == ("fan-1",)

    device = registry.show_device(session, "fan-1")
    assert (device.status, device.reason) == (DeviceStatus.OFFLINE, "gone")
    assert readings.absent(session, (), "gone", asked=asked, now=noticed) == ()
    told = commands.ask(session, "fan-1", {"on": True}, later(minutes=9), APP).command
    assert told.reason == "offline: fan-1 is offline since 2026-11-20 12:05:01 UTC; it is told when it comes back"
    say(session, later(minutes=10), temperature=20)
    assert registry.show_device(session, "fan-1").status is DeviceStatus.ONLINE


def test_an_offline_device_fails_at_once_and_is_told_on_return(session: Session) -> None:
    say(session, online=False)
    row = commands.ask(session, "fan-1", {"on": True}, NOON, APP).command
    assert row.reason.startswith("offline: ")

    out = say(session, later(minutes=1), online=True)

    assert sent(out) == [{"on": True}]


def test_a_person_goes_before_an_app_until_the_hold_ends(session: Session) -> None:
    human = commands.ask(session, "fan-1", {"on": False}, NOON, ADA, hold_until=later(minutes=10))
    waiting = commands.ask(session, "fan-1", {"on": True}, later(minutes=1), APP)

    assert sent(human.outgoing) == [{"on": False}]
    assert waiting.outgoing == ()
    assert waiting.command.reason.startswith("waits: ada (human) holds on until")
    assert sent(commands.sweep(session, later(minutes=10)))[-1:] == [{"on": True}]
    assert waiting.command.status is CommandStatus.SENT


def test_the_later_holds_though_the_clock_stood_still_or_was_set_back(session: Session) -> None:
    for speed in range(8):
        asked = commands.ask(
            session, "fan-1", {"speed": speed % 4}, later(seconds=-(speed // 4)), (APP, OTHER)[speed % 2]
        )

        assert sent(asked.outgoing) == [{"speed": speed % 4}]
        assert arbiter.winners(holds.holders(session, "fan-1", NOON))["speed"].command == asked.command.id


def test_an_earlier_command_comes_back_on_release(session: Session) -> None:
    commands.ask(session, "fan-1", {"speed": 1}, NOON, APP)
    second = commands.ask(session, "fan-1", {"speed": 3}, later(seconds=1), OTHER)

    assert sent(second.outgoing) == [{"speed": 3}]
    assert sent(holds.release_run(session, "run-2", later(seconds=2), "the run ended")) == [{"speed": 1}]


def test_the_end_of_a_run_means_safe_values_urged_until_seen(session: Session) -> None:
    row = commands.ask(session, "fan-1", {"on": True, "speed": 2}, NOON, APP).command
    say(session, on=True, speed=2)

    out = holds.release_run(session, "run-1", later(minutes=1), "the window closed")

    assert sent(out) == [{"on": False}]
    assert holds.release_run(session, "run-1", later(minutes=1), "the window closed") == ()
    safe = session.scalars(select(Command).where(Command.tier == "default")).one()
    repeats, moment = [], later(minutes=1)
    while (due := commands.next_at(session)) is not None and due <= later(minutes=10):
        repeats.append((due - moment).total_seconds())
        moment = due
        assert sent(commands.sweep(session, due)) == [{"on": False}]
    assert repeats[:3] == [1.0, 1.5, 2.25]
    assert max(repeats) <= 60
    say(session, later(minutes=10), on=False)
    assert safe.status is CommandStatus.OBSERVED
    assert row.status is CommandStatus.OBSERVED


def test_safe_values_give_up_after_ten_minutes_and_return_with_the_device(session: Session) -> None:
    commands.ask(session, "fan-1", {"on": True}, NOON, APP)
    say(session, on=True)
    say(session, online=False)
    holds.release_run(session, "run-1", NOON, "the window closed")

    commands.sweep(session, later(minutes=10))

    safe = session.scalars(select(Command).where(Command.tier == "default")).one()
    assert safe.reason.startswith("offline: ")
    assert sent(say(session, later(hours=1), online=True)) == [{"on": False}]


def test_a_new_command_ends_what_is_still_urged(session: Session) -> None:
    commands.ask(session, "fan-1", {"on": True}, NOON, APP)
    holds.release_run(session, "run-1", later(seconds=1), "the window closed")
    commands.ask(session, "fan-1", {"on": True}, later(seconds=2), OTHER)

    assert sent(commands.sweep(session, later(seconds=4))) == [{"on": True}]


def test_own_commands_do_not_pile_up(session: Session) -> None:
    for second in range(20):
        commands.ask(session, "fan-1", {"speed": second % 3}, later(seconds=second), APP)

    assert len(session.scalars(select(Hold)).all()) == 1


def test_a_short_hold_gives_back_to_the_longer_one(session: Session) -> None:
    commands.ask(session, "fan-1", {"speed": 1}, NOON, APP)
    commands.ask(session, "fan-1", {"speed": 3}, later(seconds=1), APP, hold_until=later(seconds=11))
    say(session, later(seconds=2), speed=3)

    assert sent(commands.sweep(session, later(seconds=11))) == [{"speed": 1}]


def test_a_lost_property_is_not_sent_again(session: Session) -> None:
    commands.ask(session, "fan-1", {"on": True, "speed": 1}, NOON, APP)
    commands.ask(session, "fan-1", {"speed": 3}, NOON, OTHER)

    assert sorted(map(str, sent(commands.sweep(session, later(seconds=1))))) == ["{'on': True}", "{'speed': 3}"]


def test_fresh_values_are_observed_when_they_came(session: Session) -> None:
    row = commands.ask_fresh(session, "fan-1", ["temperature"], NOON, APP).command

    say(session, later(seconds=1), temperature=21.5)

    assert row.status is CommandStatus.OBSERVED
    with pytest.raises(Invalid):
        commands.ask_fresh(session, "fan-1", ["smell"], NOON, APP)


def test_a_device_is_stale_when_it_should_have_spoken(session: Session) -> None:
    say(session, temperature=21.5)

    assert readings.freshen(session, later(seconds=120)) == ()
    assert readings.freshen(session, later(seconds=121)) == ("fan-1",)
    say(session, later(seconds=130), temperature=21.5)
    assert registry.show_device(session, "fan-1").status is DeviceStatus.ONLINE


def test_a_reading_that_comes_late_is_history_only(session: Session) -> None:
    say(session, later(minutes=1), temperature=22)
    say(session, NOON, temperature=20)

    assert [value.value for value in readings.last(session, "fan-1")] == ["22"]
    assert [row.value for row in history.look(session, "fan-1", "temperature")] == ["22", "20"]


def test_a_command_on_what_a_newer_type_has_no_more_does_not_stop_readings(session: Session) -> None:
    row = commands.ask(session, "fan-1", {"speed": 2}, NOON, APP).command
    newer = FAN.replace("1.1.0", "1.2.0").replace("[properties.speed]", "[properties.level]")
    registry.add_type(session, newer, NOON, by="root", keeps=False)
    changes.set_device(session, "fan-1", NOON, by="root", type_version="1.2.0")

    say(session, later(seconds=1), temperature=21.5)

    assert [value.value for value in readings.last(session, "fan-1")] == ["21.5"]
    commands.sweep(session, later(minutes=1))
    assert row.status is CommandStatus.FAILED


def test_the_door_judges_each_topic(session: Session) -> None:
    door = Door()
    door.kinds = registry.kinds(session)

    def hear(tail: str, payload: bytes, second: float = 0) -> Heard:
        return door.hear("fan-1", tail, payload, later(seconds=second), second)

    assert hear("state/temperature", b"21.5").measured == (Measurement("temperature", 21.5),)
    assert hear("state", b'{"on": true, "at": "2026-11-20T11:59:00Z"}').at == later(minutes=-1)
    assert hear("state", b'{"on": true, "at": "2026-11-20T13:00:00Z"}').errors[0].code == "clock_ahead"
    wrong = hear("state", b'{"on": true, "at": "noon"}')
    assert (wrong.at, wrong.measured[0].value) == (later(), True)
    assert "what came with it counts as of now" in wrong.errors[0].message
    assert hear("status", b"online").online is True
    assert hear("status", b"dead").errors[0].code == "wrong_type"
    assert hear("cmd/ack", b'{"id": "cmd-1"}').ack == Ack("cmd-1")
    assert hear("cmd/ack", b"[]").errors[0].code == "not_json"
    assert hear("desc", b'{"type": "fan@1"}').description == {"type": "fan@1"}
    assert hear("nonsense/x", b"").errors[0].topic == "dev/fan-1/nonsense/x"
    assert door.hear("ghost", "state", b"{}", NOON, 0).errors[0].code == "device_not_found"


@pytest.mark.parametrize("tail", ["state", "state/temperature", "cmd/ack", "desc"])
@pytest.mark.parametrize("start", [b"[", b'{"id":', b'{"temperature":['], ids=["list", "object", "both"])
def test_what_is_nested_without_end_is_refused_in_words(session: Session, tail: str, start: bytes) -> None:
    door = Door()
    door.kinds = registry.kinds(session)
    for number, times in enumerate((1000, 4_000)):
        (error,) = door.hear("fan-1", tail, start * times, NOON, 100 * number).errors[:1]
        assert error.code == "not_json"
    (error,) = door.hear("fan-1", "state/temperature", b"[" * 100 + b"]" * 100, NOON, 1000).errors
    assert error.code == "wrong_type"


def test_the_door_holds_a_property_to_its_rate_and_tells_once_a_second(session: Session) -> None:
    door = Door()
    door.kinds = registry.kinds(session)

    heard = [door.hear("fan-1", "state/temperature", b"21", NOON, 10 + step / 100) for step in range(100)]

    assert 2 <= sum(len(one.measured) for one in heard) <= 4
    assert [error.code for one in heard for error in one.errors] == ["too_fast"]


def test_what_never_had_its_turn_holds_nothing_afterwards(session: Session) -> None:
    commands.ask(session, "fan-1", {"on": False}, NOON, Author("safety", run="run-9"))
    waiting = commands.ask(session, "fan-1", {"on": True}, NOON, OTHER)

    commands.sweep(session, NOON + commands.WAIT_MAX)

    assert waiting.command.reason.startswith("expired: it never had its turn (waits: run-9 (safety) holds on")
    assert [claim.tier for claim in holds.holders(session, "fan-1", NOON)] == ["safety"]


def test_a_unique_beginning_names_a_command(session: Session) -> None:
    row = commands.ask(session, "fan-1", {"on": True}, NOON, APP).command

    assert commands.show(session, row.id[:10]) is row
    assert [one.id for one in commands.list_commands(session, device="fan-1")] == [row.id]
    assert [event.status_to for event in journal.history(session, "command", row.id)] == ["accepted", "sent"]
    with pytest.raises(NotFound):
        commands.show(session, "cmd-zzz")


def body(out: tuple[Outgoing, ...]) -> dict[str, object]:
    (one,) = out
    found: dict[str, object] = msgspec.json.decode(one.payload)
    return found


def test_what_comes_back_is_sent_until_the_device_answers(session: Session) -> None:
    first = commands.ask(session, "fan-1", {"speed": 1}, NOON, APP).command
    say(session, speed=1)
    second = commands.ask(session, "fan-1", {"speed": 3}, later(seconds=1), OTHER).command
    say(session, later(seconds=1), speed=3)

    told = body(holds.release_run(session, "run-2", later(seconds=2), "the run ended"))

    assert told["id"] not in (first.id, second.id)
    assert told["set"] == {"speed": 1}
    for moment in (3, 4.5, 6.75):  # the messages before were lost
        assert body(commands.sweep(session, later(seconds=moment))) == told
    again = commands.show(session, str(told["id"]))
    assert (again.origin, again.tier, again.run, again.user) == (first.id, "app", "run-1", "ada")
    assert again.because == (f"command {first.id} holds again: the run ended",)
    say(session, later(seconds=7), ack=Ack(again.id))
    assert commands.sweep(session, later(seconds=60)) == ()
    say(session, later(seconds=61), speed=1)
    assert again.status is CommandStatus.OBSERVED
    assert first.status is CommandStatus.OBSERVED
    assert [hold.command for hold in session.scalars(select(Hold))] == [again.id]


def test_what_holds_is_sent_to_a_device_that_came_back_until_it_answers(session: Session) -> None:
    say(session, online=False)
    row = commands.ask(session, "fan-1", {"on": True}, NOON, ADA).command

    told = body(say(session, later(minutes=1), online=True))

    assert told["id"] != row.id
    assert body(commands.sweep(session, later(minutes=1, seconds=1))) == told
    assert body(say(session, later(minutes=2), online=True)) == told, "it came back once more, and had not answered"
    assert body(commands.sweep(session, later(minutes=2, seconds=1))) == told
    say(session, later(minutes=3), on=True)
    assert reason(session, str(told["id"])).startswith("observed ")
    third = body(say(session, later(minutes=4), online=True))
    assert third["id"] not in (row.id, told["id"])
    assert commands.show(session, str(third["id"])).origin == row.id


def test_what_comes_back_while_the_device_is_away_is_told_on_return(session: Session) -> None:
    commands.ask(session, "fan-1", {"on": True}, NOON, APP)
    human = commands.ask(session, "fan-1", {"on": False}, NOON, ADA).command
    say(session, on=False)
    say(session, online=False)
    holds.release(session, "fan-1", later(seconds=1), "ada released it", user="ada")
    commands.sweep(session, later(hours=1))

    assert human.status is CommandStatus.OBSERVED
    assert sent(say(session, later(hours=2), online=True)) == [{"on": True}]
    assert sent(commands.sweep(session, later(hours=2, seconds=1))) == [{"on": True}]


def test_what_was_known_before_proves_nothing_until_the_device_answers(session: Session) -> None:
    commands.ask(session, "fan-1", {"on": True}, NOON, ADA)
    say(session, on=True)
    say(session, later(minutes=1), online=False)
    told = body(say(session, later(minutes=5), online=True))  # it was switched off and on, and is off now

    say(session, later(minutes=5), temperature=20)

    assert body(commands.sweep(session, later(minutes=5, seconds=1))) == told
    say(session, later(minutes=5, seconds=2), ack=Ack(str(told["id"])))
    assert reason(session, str(told["id"])).startswith("observed ")
    assert commands.sweep(session, later(minutes=6)) == ()


def test_a_refusal_of_what_came_back_gives_it_up(session: Session) -> None:
    commands.ask(session, "fan-1", {"on": True}, NOON, APP)
    commands.ask(session, "fan-1", {"on": True}, later(seconds=1), OTHER)
    told = body(holds.release_run(session, "run-2", later(seconds=2), "the run ended"))

    assert sent(say(session, later(seconds=3), ack=Ack(str(told["id"]), "refused", "no"))) == [{"on": False}]
    assert session.scalars(select(Hold)).all() == []


def test_one_version_of_a_type_is_removed_once_no_device_has_it(session: Session) -> None:
    registry.add_type(session, FAN.replace("1.1.0", "2.0.0"), NOON, by="root")

    with pytest.raises(Conflict, match="2 versions"):
        removal.remove_type(session, "fan", NOON, by="root")
    with pytest.raises(Conflict, match="is the type of fan-1"):
        removal.remove_type(session, "fan@1.1.0", NOON, by="root")
    removal.remove_type(session, "fan@2.0.0", NOON, by="root")
    registry.retire_device(session, "fan-1", NOON, by="root")
    with pytest.raises(Conflict, match=r"fan-1 \(retired\)"):
        removal.remove_type(session, "fan", NOON, by="root")


def test_many_devices_are_looked_at_with_few_queries(session: Session) -> None:
    for number in range(2, 40):
        registry.add_device(session, f"fan-{number}", NOON, by="root", type="fan", at="campus/lab")
    row = commands.ask(session, "fan-7", {"on": True}, NOON, ADA).command
    found = registry.list_devices(session)
    statements: list[str] = []
    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(str(told[2])))

    shown = overview.of(session, found, NOON)

    assert [one.device.id for one in shown] == [device.id for device in found]
    held = {one.device.id: [(each.hold.command, each.holds) for each in one.held] for one in shown if one.held}
    assert held == {"fan-7": [(row.id, True)]}
    assert len(statements) <= 3, statements


def test_who_waits_does_not_hold(session: Session) -> None:
    human = commands.ask(session, "fan-1", {"on": False}, NOON, ADA).command
    app = commands.ask(session, "fan-1", {"on": True}, NOON, APP).command

    (shown,) = overview.of(session, [registry.show_device(session, "fan-1")], NOON)

    assert {one.hold.command: one.holds for one in shown.held} == {human.id: True, app.id: False}
    (late,) = overview.of(session, [registry.show_device(session, "fan-1")], later(hours=1))
    assert human.id not in [one.hold.command for one in late.held]


def test_there_is_one_line_a_holder_and_who_holds_comes_first(session: Session) -> None:
    commands.ask(session, "fan-1", {"on": True}, NOON, APP)
    human = commands.ask(session, "fan-1", {"on": False}, later(seconds=1), ADA).command
    newest = commands.ask(session, "fan-1", {"on": True}, later(seconds=2), APP).command

    (shown,) = overview.of(session, [registry.show_device(session, "fan-1")], later(seconds=3))

    assert [(one.hold.command, one.holds) for one in shown.held] == [(human.id, True), (newest.id, False)]
