"""What the waker says of a version that cannot be woken."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import Error, Unavailable
from fairlead.keeper.doors.splice import field
from fairlead.keeper.doors.waker import Waker

LOST = Unavailable("flowers@1 ends again and again", code="crash_loop", hint="fairlead logs flowers")

TOLD: list[tuple[str, str, Error]] = []
"""What the waker has refused."""

HEAD = b"POST /v1/models/flowers/predict HTTP/1.1\r\nx-fairlead-model: flowers@1\r\ncontent-length: 9000000\r\n\r\n"


async def refuse(model: str, version: str, left_s: float | None) -> Path:
    raise LOST


async def asked(path: str) -> tuple[bytes, Any]:
    """Return the status line and the error of a held request."""
    with tempfile.TemporaryDirectory(prefix="fl-") as folder:  # short: sockets must fit into 107 bytes
        waker = Waker(Path(folder) / "waker.sock", refuse, refused=lambda *told: TOLD.append(told))
        await waker.open()
        try:
            reader, writer = await asyncio.open_unix_connection(Path(folder) / "waker.sock")
            writer.write(f"POST {path} HTTP/1.1\r\nx-fairlead-model: flowers@1\r\nx-request-id: r1\r\n\r\n".encode())
            writer.write_eof()
            async with asyncio.timeout(30):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            return head.splitlines()[0], json.loads(body)["error"]
        finally:
            await waker.close()


async def test_r2_a_refusal_is_told_to_who_counts_the_calls_of_the_version() -> None:
    TOLD.clear()
    await asked("/v1/models/flowers/predict")
    assert TOLD == [("flowers", "1", LOST)]


async def test_a_refusal_has_the_one_shape() -> None:
    status, error = await asked("/v1/models/flowers/predict")
    assert status == b"HTTP/1.1 503 Service Unavailable"
    assert error == {"code": "crash_loop", "message": LOST.message, "hint": LOST.hint, "id": "r1"}


@pytest.mark.parametrize("reads", [True, False])
async def test_a_replica_that_never_answers_keeps_nothing_once_the_caller_has_gone(reads: bool) -> None:
    """Whether it reads the call or not, its connection ends with the caller's, and the waker can close."""
    with tempfile.TemporaryDirectory(prefix="fl-") as folder, socket.socket(socket.AF_UNIX) as replica:
        path, loop = Path(folder) / "serve.sock", asyncio.get_running_loop()
        replica.bind(str(path))
        replica.listen()
        replica.setblocking(False)

        async def awake(model: str, version: str, left_s: float | None) -> Path:
            return path

        waker = Waker(Path(folder) / "waker.sock", awake)
        await waker.open()
        async with asyncio.timeout(30):
            _, writer = await asyncio.open_unix_connection(Path(folder) / "waker.sock")
            writer.write(HEAD + bytes(1_000_000))
            call, _ = await loop.sock_accept(replica)
            with call:
                while reads and not (await loop.sock_recv(call, 65536)).endswith(b"\0"):
                    pass
                writer.transport.abort()
                hung_up = select.poll()
                hung_up.register(call, select.POLLHUP)
                while not any(event & select.POLLHUP for _, event in hung_up.poll(0)):
                    await asyncio.sleep(0.01)
            await waker.close()


@pytest.mark.parametrize("path", ["/v2/models/flowers/infer", "/v2/models/flowers/versions/1/infer"])
async def test_below_v2_a_refusal_is_one_text(path: str) -> None:
    assert (await asked(path))[1] == "flowers@1 ends again and again (fairlead logs flowers)"


async def test_a_replica_is_told_what_is_left_of_the_time_that_its_caller_waits() -> None:
    with tempfile.TemporaryDirectory(prefix="fl-") as folder, socket.socket(socket.AF_UNIX) as replica:
        path, loop, left = Path(folder) / "serve.sock", asyncio.get_running_loop(), list[float | None]()
        replica.bind(str(path))
        replica.listen()
        replica.setblocking(False)

        async def awake(model: str, version: str, left_s: float | None) -> Path:
            left.append(left_s)
            await asyncio.sleep(0.05)
            return path

        waker = Waker(Path(folder) / "waker.sock", awake)
        await waker.open()
        async with asyncio.timeout(30):
            _, writer = await asyncio.open_unix_connection(Path(folder) / "waker.sock")
            writer.write(HEAD[:-2] + b"prefer: wait=60, handling=strict\r\n\r\n")
            call, _ = await loop.sock_accept(replica)
            with call:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += await loop.sock_recv(call, 65536)
            writer.transport.abort()
            await waker.close()
        told = float(field(head, b"prefer").removeprefix("wait="))
        assert head.lower().count(b"prefer:") == 1
        assert left[0] is not None
        assert 0 < told < left[0] <= 60
