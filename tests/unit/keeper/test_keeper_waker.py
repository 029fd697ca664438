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


async def held(request: bytes) -> tuple[float | None, bytes]:
    """Return how long the version was told that the call waits, and what the replica got."""
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
            writer.write(request)
            writer.write_eof()
            call, _ = await loop.sock_accept(replica)
            with call:
                got, body = b"", request.partition(b"\r\n\r\n")[2]
                while not got.endswith(b"\r\n\r\n" + body):
                    got += await loop.sock_recv(call, 65536)
            writer.transport.abort()
            await waker.close()
        return left[0], got


async def test_a_replica_is_told_what_is_left_of_the_time_that_its_caller_waits() -> None:
    left_s, got = await held(HEAD[:-2] + b"prefer: handling=strict\r\nprefer: wait=60\r\n\r\n")
    told = float(field(got, b"prefer").removeprefix("wait="))
    assert got.lower().count(b"prefer:") == 1
    assert left_s is not None
    assert 0 < told < left_s <= 60


TENSORS = b'{"inputs": [], "parameters": {"timeout": 7000000}}'


def infer(body: bytes, more: bytes = b"") -> bytes:
    head = b"POST /v2/models/flowers/infer HTTP/1.1\r\nx-fairlead-model: flowers@1\r\ncontent-length: %d\r\n%b\r\n"
    return head % (len(body), more) + body


@pytest.mark.parametrize(
    "request_",
    [
        infer(TENSORS),
        infer(TENSORS + b"\0" * 1_000_000, b"inference-header-content-length: %d\r\n" % len(TENSORS)),
        infer(TENSORS, b"prefer: wait=60\r\n"),
    ],
    ids=["json", "with binary tensors", "the shorter counts"],
)
async def test_the_timeout_of_v2_is_how_long_the_caller_waits(request_: bytes) -> None:
    left_s, got = await held(request_)
    assert left_s is not None
    assert 6 < left_s <= 7
    assert 0 < float(field(got, b"prefer").removeprefix("wait=")) < left_s


@pytest.mark.parametrize(
    "request_",
    [
        infer(b'{"inputs": []}'),
        infer(b'{"parameters": {"timeout": "soon"}}'),
        infer(b'{"parameters": {"timeout": -1}}'),
        infer(b"[" * 5000),
        infer(b'{"inputs": "' + b"x" * 100_000 + b'", "parameters": {"timeout": 1}}'),
        infer(TENSORS, b"content-encoding: gzip\r\n"),
        infer(TENSORS).replace(b"/v2/", b"/v1/"),
    ],
    ids=["none", "no number", "none that is left", "no JSON", "long", "packed", "not of v2"],
)
async def test_a_body_that_says_nothing_of_time_passes_as_it_is(request_: bytes) -> None:
    left_s, got = await held(request_)
    assert left_s is None
    assert b"prefer" not in got


async def test_a_body_that_comes_late_keeps_no_version_asleep() -> None:
    left: list[float | None] = []

    async def asleep(model: str, version: str, left_s: float | None) -> Path:
        left.append(left_s)
        raise LOST

    with tempfile.TemporaryDirectory(prefix="fl-") as folder:
        waker = Waker(Path(folder) / "waker.sock", asleep)
        await waker.open()
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_unix_connection(Path(folder) / "waker.sock")
            writer.write(infer(TENSORS)[:-10])
            assert (await reader.readline()).startswith(b"HTTP/1.1 503")
            writer.transport.abort()
            await waker.close()
    assert left == [None]
