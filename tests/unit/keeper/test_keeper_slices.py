"""What is counted for objectives: nothing is lost and nothing twice, whatever begins anew."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fairlead.errors import Unavailable
from fairlead.gateway.measured import Counted
from fairlead.keeper.doors import slices
from fairlead.keeper.doors.slices import Key, Ledger
from fairlead.keeper.doors.slicing import Slicing
from fairlead.messages import (
    Answer,
    EnvironmentSpec,
    Message,
    ModelSpec,
    NodeWanted,
    Sliced,
    SlicesTold,
    VersionWanted,
)
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock

NAME = "mood@1.2"


def counted(answered: int = 0, failed: int = 0, slow: int = 0) -> dict[str, Counted]:
    return {NAME: Counted(answered, failed, answered + failed, slow)}


def total(ledger: Ledger) -> tuple[int, int, int]:
    found = ledger.slices.values()
    return sum(one.answered for one in found), sum(one.failed for one in found), sum(one.slow for one in found)


def test_what_is_new_is_in_the_slice_of_its_time() -> None:
    ledger = Ledger("slo-1")
    slices.take(ledger, counted(), "envoy-1", 0)
    slices.take(ledger, counted(5, 1, 2), "envoy-1", 60)
    slices.take(ledger, counted(7, 1, 3), "envoy-1", 120)

    assert ledger.slices == {
        (60, NAME): Sliced("mood", "1.2", 60, 5, 1, 2),
        (120, NAME): Sliced("mood", "1.2", 120, 2, 0, 1),
    }


def test_what_a_new_ledger_sees_first_is_not_new() -> None:
    ledger = Ledger("slo-1")
    slices.take(ledger, counted(100, 9, 9), "envoy-1", 0)

    assert total(ledger) == (0, 0, 0)


def test_another_envoy_begins_at_zero_even_when_it_has_counted_more_by_now() -> None:
    ledger = Ledger("slo-1")
    slices.take(ledger, counted(), "envoy-1", 0)
    slices.take(ledger, counted(5, 1, 1), "envoy-1", 0)
    slices.take(ledger, counted(50, 10, 10), "envoy-2", 0)

    assert total(ledger) == (55, 11, 11)


def test_what_envoy_forgets_when_replicas_change_stays() -> None:
    ledger = Ledger("slo-1")
    for found in (counted(), counted(5, 1, 2), {NAME: Counted()}, counted(3, 0, 1)):
        slices.take(ledger, found, "envoy-1", 0)

    assert total(ledger) == (8, 1, 3)


def test_a_version_that_is_not_asked_for_for_a_while_is_not_counted_again() -> None:
    ledger = Ledger("slo-1")
    for found in (counted(), counted(5), {}, counted(6)):
        slices.take(ledger, found, "envoy-1", 0)

    assert total(ledger) == (6, 0, 0)


def test_a_version_that_comes_later_counts_from_zero() -> None:
    ledger = Ledger("slo-1")
    slices.take(ledger, {}, "envoy-1", 0)
    slices.take(ledger, counted(4), "envoy-1", 0)

    assert total(ledger) == (4, 0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_any_history_is_counted_once(seed: int) -> None:
    """Envoys end, replicas change, ledgers are read from disk: the sums are those of what was served."""
    chance = random.Random(seed)
    ledger, door, now, served = Ledger("slo-1"), 1, Counted(), [0, 0, 0]
    slices.take(ledger, {NAME: now}, "envoy-1", 0)
    for minute in range(200):
        ok, failed = chance.randrange(5), chance.randrange(2)
        slow = chance.randint(0, ok)
        served = [one + more for one, more in zip(served, (ok, failed, slow), strict=True)]
        now = Counted(now.answered + ok, now.failed + failed, now.timed + ok + failed, now.slow + slow)
        slices.take(ledger, {NAME: now}, f"envoy-{door}", minute * 60)
        match chance.randrange(10):
            case 0:
                now, door = Counted(), door + 1
            case 1:
                now = Counted()
                slices.take(ledger, {NAME: now}, f"envoy-{door}", minute * 60)

    assert list(total(ledger)) == served


def test_what_was_told_is_forgotten_and_what_was_not_is_kept() -> None:
    ledger, told = Ledger("slo-1"), dict[Key, Sliced]()
    slices.take(ledger, counted(), "envoy-1", 0)
    slices.take(ledger, counted(1), "envoy-1", 0)
    slices.take(ledger, counted(2), "envoy-1", 60)
    told[0, NAME] = ledger.slices[0, NAME]

    assert slices.due(ledger.slices, told) == (ledger.slices[60, NAME],)
    assert slices.forget(ledger, told, 600) == 0
    assert set(ledger.slices) == {(60, NAME)}
    assert slices.forget(ledger, told, 60 + slices.KEPT_S + 60) == 1


def test_a_clock_that_was_put_back_goes_on_under_another_name_with_what_is_left() -> None:
    ledger, told = Ledger("slo-1"), dict[Key, Sliced]()
    slices.take(ledger, counted(), "envoy-1", 7200)
    slices.take(ledger, counted(5), "envoy-1", 7200)
    told[7200, NAME] = ledger.slices[7200, NAME]
    slices.take(ledger, counted(8), "envoy-1", 7200)

    assert slices.renew(ledger, told, 3600, "slo-2")
    assert (ledger.source, total(ledger), told) == ("slo-2", (3, 0, 0), {})
    assert not slices.renew(Ledger("slo-1"), {}, 0, "slo-2")


# --- the loop ---------------------------------------------------------------------------------------------------------


class Door:
    """An Envoy of a test."""

    def __init__(self) -> None:
        self.name, self.found, self.is_away = "envoy-1", counted(), False

    async def measure(self, slow_ms: object) -> dict[str, Counted]:
        if self.is_away:
            raise Unavailable("away")
        return self.found


def wanted(slow_ms: float | None = 100.0) -> NodeWanted:
    version = VersionWanted(
        spec=ModelSpec("mood", "1.2", "python"),
        digest="d",
        bundle_key="k",
        environment=EnvironmentSpec(),
        gate="g",
        slow_ms=slow_ms,
    )
    return NodeWanted(node="here", generation=1, versions=(version,))


def slicing(folder: Path, door: Door, slow_ms: float | None = 100.0) -> Slicing:
    file = folder / "objectives.msgpack"
    return Slicing(file, door.measure, ManualClock(), lambda: wanted(slow_ms), lambda: door.name, 60)


class Control:
    """Keeps the highest that it was told, as control does."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus, self.known, self.loses_answers = bus, dict[tuple[str, Key], Sliced](), False

    async def open(self) -> None:
        await self.bus.serve(SlicesTold, self.hear)

    async def hear(self, message: Message) -> Answer:
        assert isinstance(message, SlicesTold)
        for one in message.slices:
            key = (message.source, (one.at, f"{one.model}@{one.version}"))
            if one.answered >= self.known.get(key, one).answered:
                self.known[key] = one
        if self.loses_answers:
            raise Unavailable("the answer was lost")
        return Answer()

    @property
    def answered(self) -> int:
        return sum(one.answered for one in self.known.values())


async def once(made: Slicing, bus: MemoryBus) -> None:
    """One turn of the loop."""
    await made.look()
    await made._keep()
    await made._tell(bus)


async def test_a_keeper_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    door, bus = Door(), MemoryBus()
    control = Control(bus)
    await control.open()
    first = slicing(tmp_path, door)
    await once(first, bus)
    door.found = counted(5)
    await once(first, bus)
    door.found = counted(9)
    await first.look()  # and it is killed before it has kept this

    second = slicing(tmp_path, door)
    door.found = counted(11)
    await once(second, bus)

    assert control.answered == 11


async def test_what_is_told_is_on_disk_first(tmp_path: Path) -> None:
    door, bus = Door(), MemoryBus()
    control = Control(bus)
    await control.open()
    first = slicing(tmp_path, door)
    await once(first, bus)
    door.found = counted(5)
    await first.look()
    await first._keep()
    door.found = counted(9)
    await first.look()  # a change of replicas, between keeping and telling
    await first._tell(bus)
    assert control.answered == 5

    second = slicing(tmp_path, door)  # after a power cut: with another Envoy
    door.name, door.found = "envoy-2", counted(2)
    await once(second, bus)

    assert control.answered == 7


async def test_control_that_is_away_or_whose_answer_is_lost_is_told_again(tmp_path: Path) -> None:
    door, bus = Door(), MemoryBus()
    control = Control(bus)
    made = slicing(tmp_path, door)
    await once(made, bus)
    door.found = counted(5)
    await once(made, bus)  # nobody listens
    await control.open()
    control.loses_answers = True
    await once(made, bus)
    control.loses_answers = False
    door.found = counted(6)
    await once(made, bus)

    assert control.answered == 6
    assert slices.due(*(made._kept[1], made._told)) == ()


async def test_an_envoy_that_is_away_or_changes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    door = Door()
    made = slicing(tmp_path, door)
    await made.look()
    door.is_away = True
    await made.look()
    door.is_away, door.name = False, ""
    await made.look()

    assert total(made._ledger) == (0, 0, 0)


async def test_where_nothing_was_promised_envoy_is_not_asked(tmp_path: Path) -> None:
    door = Door()
    door.is_away = True

    await slicing(tmp_path, door, None).look()


async def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "objectives.msgpack").write_bytes(b"\xff")
    door = Door()
    door.found = counted(7)
    made = slicing(tmp_path, door)
    await made.look()

    assert total(made._ledger) == (0, 0, 0)
