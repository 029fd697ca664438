"""Messages longer than one payload: split, joined, and what is lost or forged on the way."""

from __future__ import annotations

import random

import pytest

from fairlead.bus import parts
from fairlead.errors import Unavailable

LONG = random.Random(1).randbytes(3 * parts.PART_BYTES + 5)


def _take(joiner: parts.Joiner, pieces: list[tuple[str, bytes]], subject: str = "a") -> list[bytes]:
    return [whole for header, payload in pieces if (whole := joiner.take(subject, header, payload)) is not None]


def test_parts_make_the_whole_again() -> None:
    pieces = parts.split("Long", LONG)
    assert len(pieces) == 4
    assert all(len(payload) <= parts.PART_BYTES for _, payload in pieces)
    assert _take(parts.Joiner(), pieces) == [LONG]


def test_a_whole_with_a_lost_part_is_left_aside_and_the_next_one_taken() -> None:
    pieces, joiner = parts.split("Long", LONG), parts.Joiner()
    for lost in range(len(pieces)):
        assert _take(joiner, pieces[:lost] + pieces[lost + 1 :]) == []
        assert _take(joiner, pieces) == [LONG]


def test_wholes_of_different_senders_do_not_mix() -> None:
    pieces, joiner = parts.split("Long", LONG), parts.Joiner()
    other = parts.split("Long", LONG[::-1])
    for header, payload in pieces[:-1]:
        joiner.take("a", header, payload)
    assert _take(joiner, other, "b") == [LONG[::-1]]
    assert _take(joiner, pieces[-1:], "a") == [LONG]


def test_changed_parts_are_refused() -> None:
    pieces = parts.split("Long", LONG)
    pieces[1] = (pieces[1][0], pieces[1][1][::-1])
    with pytest.raises(ValueError, match="digest"):
        _take(parts.Joiner(), pieces)


@pytest.mark.parametrize("header", ["", "{}", '["a",0,0]', '["a",-1,2]', '["a",2,2]', '["a",0,1000000]'])
def test_what_is_no_part_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match=r"part|Part"):
        parts.Joiner().take("a", header, b"x")


def test_what_nothing_carries_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PACKED_MAX_BYTES", 2 * parts.PART_BYTES)
    with pytest.raises(Unavailable) as refused:
        parts.split("NodeReport", LONG)
    assert refused.value.code == "message_too_long"
    assert "NodeReport has 3.1 MB" in refused.value.message


def test_a_whole_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = parts.split("Long", bytes(2 * parts.PART_BYTES))
    monkeypatch.setattr(parts, "WHOLE_MAX_BYTES", parts.PART_BYTES)
    with pytest.raises(ValueError, match="more than"):
        _take(parts.Joiner(), pieces)
