"""Calls by token in the beats of a real replica: all to a new keeper, to all others what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.process.test_model_server import Keeper, Replica, spec_of

from fairlead.messages import Beat
from fairlead.status import ReplicaStatus

MODEL = """
class M:
    def predict(self, x: int) -> int:
        return 2 * x
"""


@pytest.fixture
def replica() -> Iterator[Replica]:
    made = Replica(MODEL, spec_of())
    try:
        made.keeper.status(ReplicaStatus.READY)
        yield made
    finally:
        made.end()


def call(replica: Replica, token: str, times: int) -> None:
    for _ in range(times):
        assert replica.call("predict", {"x": 3}, headers={"x-fairlead-token": token}).status_code == 200


def said(keeper: Keeper, wanted: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """Return the figures of the first beat that has ``wanted`` ones, whatever their day."""

    def figures(beat: Beat) -> dict[str, int]:
        days = beat.metered.days if beat.metered is not None else {}
        return {token: calls for day in days.values() for token, calls in day.items()}

    beat = keeper.until(lambda message: isinstance(message, Beat) and wanted(figures(message)))
    assert isinstance(beat, Beat)
    return figures(beat)


def test_a_beat_holds_what_changed_and_the_first_that_a_keeper_hears_all(replica: Replica) -> None:
    call(replica, "tok-a", 3)
    said(replica.keeper, lambda figures: figures.get("tok-a") == 3)
    call(replica, "tok-b", 1)
    assert said(replica.keeper, lambda figures: "tok-b" in figures) == {"tok-b": 1}

    new = Keeper(replica.fork.keep)
    try:
        assert said(new, bool) == {"tok-a": 3, "tok-b": 1}
        call(replica, "tok-a", 1)
        for keeper in (new, replica.keeper):
            assert said(keeper, lambda figures: figures.get("tok-a") == 4) == {"tok-a": 4}
    finally:
        new.close()
