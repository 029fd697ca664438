"""The door for what lasts on pages: what cannot be joined is told why, and is no fault of ours."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.clock import SystemClock
from fairlead.keeper.doors.pagedoor import PageDoor
from fairlead.keeper.doors.splice import HEAD_BYTES
from fairlead.testing.clock import ManualClock


@pytest.fixture
async def path() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fl-") as folder:
        door = PageDoor(Path(folder) / "s", dict, SystemClock())
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


async def test_what_is_joined_ends_when_its_token_does_by_the_clock_of_the_keeper() -> None:
    clock = ManualClock()

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await reader.read()
        writer.close()

    with tempfile.TemporaryDirectory(prefix="fl-") as folder:
        app = await asyncio.start_unix_server(page, f"{folder}/app")
        door = PageDoor(Path(folder) / "s", lambda: {"run-1": f"{folder}/app"}, clock)
        await door.open()
        try:
            async with asyncio.timeout(30):
                reader, writer = await asyncio.open_unix_connection(f"{folder}/s")
                expires = str(clock.now().timestamp() + 3600).encode()
                writer.write(
                    b"GET / HTTP/1.1\r\nx-fairlead-page: run-1\r\nx-fairlead-expires: " + expires + b"\r\n\r\n"
                )
                assert b"101" in await reader.readuntil(b"\r\n\r\n")
                while not clock.sleepers:
                    await asyncio.sleep(0)
                await clock.advance(3599)
                assert clock.sleepers, "it is still joined"
                await clock.advance(2)
                assert await reader.read() == b""
                writer.close()
        finally:
            await door.close()
            app.close()
