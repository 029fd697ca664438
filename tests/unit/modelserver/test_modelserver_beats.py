"""Which changes a replica tells its keeper of before the second is over."""

from __future__ import annotations

import pytest

from fairlead.messages import Beat
from fairlead.modelserver.worker import is_news
from fairlead.status import ReplicaStatus


def beat(**load: int) -> Beat:
    return Beat(ReplicaStatus.READY, **load)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({}, {}, False),
        ({}, {"in_flight": 1}, True),
        ({"in_flight": 1}, {"in_flight": 1, "queued": 1}, True),
        ({"in_flight": 1, "queued": 4}, {"in_flight": 1, "queued": 7}, False),
        ({"in_flight": 1, "queued": 7}, {"in_flight": 1, "queued": 8}, True),
        ({"in_flight": 1, "queued": 8}, {"in_flight": 1, "queued": 7}, False),
        ({"served": 0}, {"served": 1}, True),
        ({"served": 5}, {"served": 7}, False),
        ({"served": 7}, {"served": 8}, True),
    ],
)
def test_what_is_told_at_once(before: dict[str, int], now: dict[str, int], told: bool) -> None:
    assert is_news(beat(**now), beat(**before)) is told
