"""The door for what lasts on pages: what cannot be joined is told why, and is no fault of ours."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.keeper.doors.pagedoor import PageDoor
from fairlead.keeper.doors.splice import HEAD_BYTES


@pytest.fixture
async def path() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fl-") as folder:
        door = PageDoor(Path(folder) / "s", dict)
        await door.open()
        try:
            yield Path(folder) / "s"
        finally:
            await door.close()


async def said(path: Path, head: bytes) -> bytes:
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(head)
        answer = await reader.read()
        writer.close()
        return answer


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nx-long: " + b"a" * 2 * HEAD_BYTES, b"HTTP/1.1 400", b'"headers_too_large"'),
        (b"GET / HTTP/1.1\r\nx-fairlead-page: gone\r\n\r\n", b"HTTP/1.1 503", b'"page_unavailable"'),
    ],
    ids=["a head without an end", "no such page"],
)
async def test_what_cannot_be_joined_is_told_why(
    path: Path, head: bytes, status: bytes, code: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        answer = await said(path, head)

    assert answer.startswith(status)
    assert code in answer
    assert caplog.records == []
