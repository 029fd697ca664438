"""A command that moves traffic is over once calls know it; what is waited for is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fairlead.cli.api import Refused
from fairlead.cli.commands import models

SLOW = "the front door of node local holds an older state: it is slow"


class Stream:
    """An API whose stream of a version's steps is written by the test."""

    def __init__(self, *events: tuple[str, dict[str, Any]]) -> None:
        self._events = events

    def events(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        assert path == "/models/m/versions/2/events"
        yield from self._events


def test_what_is_in_force_is_not_waited_for() -> None:
    api: Any = None
    models._until_in_force(api, "m", "2", {}, "production is 2")


def test_it_goes_on_waiting_and_says_for_what(capsys: pytest.CaptureFixture[str]) -> None:
    silent = SLOW.replace("it is slow", "its keeper is silent")
    api: Any = Stream(("step", {"said": ""}), ("step", {"said": SLOW}), ("step", {"said": silent}), ("done", {}))
    models._until_in_force(api, "m", "2", {"pending": SLOW}, "production is 2")
    assert capsys.readouterr().err.splitlines() == [f"  {SLOW}", f"  {silent}"]


@pytest.mark.parametrize("events", [(("away", {"message": SLOW, "hint": "fairlead status"}),), ()])
def test_a_front_door_that_never_follows_ends_the_command(events: tuple[tuple[str, dict[str, Any]], ...]) -> None:
    api: Any = Stream(*events)
    with pytest.raises(Refused) as caught:
        models._until_in_force(api, "m", "2", {"pending": SLOW}, "production is 2")
    assert (caught.value.exit_code, caught.value.code) == (6, "not_in_force")
    assert caught.value.message == f"production is 2, but calls do not know it yet: {SLOW}"
    assert "fairlead status" in caught.value.hint
