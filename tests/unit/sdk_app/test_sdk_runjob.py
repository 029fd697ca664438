"""The result of a job as an app gets it, over a channel that tells one state."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import msgspec
import pytest

from fairlead.sdk.channel import Channel
from fairlead.sdk.files import File, Image
from fairlead.sdk.runjob import JobState, RunJob

DEADLINE_S = 30


class Telling(Channel):
    """A channel whose only job is in one state."""

    def __init__(self, **state: Any) -> None:
        super().__init__()
        self.asked = 0
        self._answer = msgspec.json.encode({"id": "job-1", "status": "succeeded", **state})

    async def call(self, method: str, path: str, **_: Any) -> httpx.Response:
        self.asked += 1
        assert self.asked < 10, "it asks for ever"
        return httpx.Response(200, content=self._answer)


async def result_of(data: bytes, media_type: str) -> Any:
    channel = Telling(result_base64=base64.b64encode(data).decode(), result_type=media_type)
    async with asyncio.timeout(DEADLINE_S):
        found = await RunJob(channel, JobState("job-1")).result()
    assert channel.asked == 1
    return found


async def test_an_empty_file_is_a_result() -> None:
    found = await result_of(b"", "application/octet-stream")

    assert type(found) is File
    assert found.read() == b""


@pytest.mark.parametrize(("data", "media_type", "expected"), [(b"Ahoy", "text/plain", "Ahoy"), (b"", "text/plain", "")])
async def test_a_text_is_a_str_as_of_predict(data: bytes, media_type: str, expected: str) -> None:
    assert await result_of(data, media_type) == expected


async def test_a_picture_is_an_image() -> None:
    assert type(await result_of(b"\x89", "image/png")) is Image
