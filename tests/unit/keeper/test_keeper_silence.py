"""A program that does not answer is frozen, or only as slow as the machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fairlead.clock import SystemClock
from fairlead.keeper.programs import programs as room
from fairlead.keeper.programs.programs import Programs, Spec
from fairlead.keeper.programs.silence import Silence
from fairlead.keeper.tasks import Tasks

MOST_S = 7.0


def after(*looks: tuple[float, float]) -> Silence:
    """Return what is thought after looks without an answer: how long each took, how long the program was starved."""
    silence = Silence()
    for took_s, waited_s in looks:
        silence.missed(took_s, MOST_S, waited_s=waited_s)
    return silence


@pytest.mark.parametrize(
    ("looks", "frozen"),
    [
        ([(7, 0)] * 2, False),
        ([(7, 0)] * 3, True),
        ([(60, 0)], False),  # the keeper itself was held up
        ([(60, 0)] * 9, False),
        ([(7, 0)] * 2 + [(60, 0)], False),
        ([(7, 3)] * 3, False),  # it had no processor
        ([(7, 3)] * 9, True),  # nobody is without one for so long
        ([(0.1, 0)] * 20, False),
    ],
)
def test_what_cannot_be_its_fault_is_taken_off(looks: list[tuple[float, float]], frozen: bool) -> None:
    assert after(*looks).is_frozen(15) is frozen


def test_one_answer_is_enough() -> None:
    silence = after((7, 0), (7, 0))
    silence.heard()
    silence.missed(7, MOST_S, waited_s=0)
    assert not silence.is_frozen(15)


def test_waiting_for_a_disk_is_not_being_frozen() -> None:
    silence = Silence()
    for _ in range(3):
        silence.missed(7, MOST_S, waited_s=0, on_disk=True)
    assert not silence.is_frozen(15)


class Jumping(SystemClock):
    """A clock that was held up for as long as a test says."""

    held_up_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.held_up_s


async def test_a_keeper_that_was_held_up_kills_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WATCH_S", 0.01)
    clock, looks = Jumping(), 0

    async def answers() -> bool:
        nonlocal looks
        looks += 1
        if looks in (2, 3):
            clock.held_up_s += 60
            return False
        return True

    async with Tasks() as group:
        programs = Programs(tmp_path / "children", tmp_path, clock, group)
        await programs.start(Spec("bus", lambda: ("/bin/sleep", "60"), {}, answers))
        (first,) = programs.states()
        async with asyncio.timeout(30):
            while looks < 6:
                await asyncio.sleep(0.01)
        assert programs.states()[0] == first
        await programs.stop("bus")


async def test_a_frozen_program_is_ended_and_the_reason_says_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "WATCH_S", 0.01)
    answered = 0

    async def answers() -> bool:
        nonlocal answered
        answered += 1
        return answered == 1

    async with Tasks() as group:
        programs = Programs(tmp_path / "children", tmp_path, SystemClock(), group)
        await programs.start(Spec("bus", lambda: ("/bin/sleep", "60"), {}, answers, frozen_s=0.05))
        async with asyncio.timeout(30):
            while not programs.states()[0].restarts:
                await asyncio.sleep(0.01)
        assert programs.states()[0].reason.startswith("frozen: no answer for ")
        assert programs.states()[0].reason.endswith(" s; ended by the keeper")
        await programs.stop("bus")
