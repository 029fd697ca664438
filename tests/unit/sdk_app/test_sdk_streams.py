"""A run's model that answers in pieces."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fairlead.errors import Error
from fairlead.sdk.app import RunModel
from fairlead.sdk.channel import Channel

EVENTS = {"content-type": "text/event-stream"}


class Answering(Channel):
    """A channel whose only answer is given."""

    def __init__(self, text: str, headers: dict[str, str] = EVENTS) -> None:
        self.answer = httpx.Response(200, text=text, headers=headers)

    async def call(self, method: str, path: str, **_: Any) -> httpx.Response:
        return self.answer


async def pieces(channel: Channel) -> list[Any]:
    return [piece async for piece in RunModel(channel, "story").stream(topic="ships")]


async def test_pieces_come_without_the_end() -> None:
    said = 'data: "a\u2028b"\n\ndata: {"n": 1}\n\nevent: done\ndata: {"pieces": 2}\n\n'
    assert await pieces(Answering(said)) == ["a\u2028b", {"n": 1}]


async def test_a_model_that_answers_at_once_is_one_piece() -> None:
    assert await pieces(Answering("[1, 2]", {"content-type": "application/json"})) == [[1, 2]]


async def test_a_failure_in_the_middle_is_raised() -> None:
    with pytest.raises(Error, match="out of words"):
        await pieces(
            Answering('data: 1\n\nevent: error\ndata: {"error": {"code": "x", "message": "out of words"}}\n\n')
        )
    with pytest.raises(Error, match="middle"):
        await pieces(Answering("data: 1\n\n"))
