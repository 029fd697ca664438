"""Bodies at a replica's socket: bounded whatever their headers say, and given up when they do not come."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.process.test_model_server import GATE, Replica, spec_of

from fairlead.errors import Invalid
from fairlead.modelserver.protocols.receive import GivenUp, Receiver
from fairlead.modelserver.server import http_server
from fairlead.status import ReplicaStatus

LIMIT = 1_200_000
BODY_S = 1.0
"""Patience of the receiver in these tests: longer than a machine that does other things stands still."""
DEADLINE_S = 30.0
CODE = """
import fairlead


class M(fairlead.Model):
    def predict(self, text: str) -> int:
        return len(text)
"""


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    made = Replica(CODE, spec_of(), body_max_bytes=LIMIT)
    made.keeper.status(ReplicaStatus.READY)
    yield made
    made.end()


def of_length(count: int) -> bytes:
    """Return a body of ``count`` bytes."""
    head, tail = b'{"text":"', b'"}'
    return head + b"x" * (count - len(head) - len(tail)) + tail


def chunked(body: bytes, size: int = 32_768) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        part = body[start : start + size]
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def send(path: str, framing: str, parts: Iterable[bytes], target: str = "/v1/models/m/predict") -> tuple[int, Any]:
    """Send one request by hand; return status and body of its answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE_S)
        connection.connect(path)
        lines = (f"POST {target} HTTP/1.1", "host: r", f"x-fairlead-gate: {GATE}", framing, "", "")
        connection.sendall("\r\n".join(lines).encode())
        for part in parts:
            connection.sendall(part)
        data = b""
        while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < _length(data):
            more = connection.recv(65_536)
            assert more, data
            data += more
        return int(data.split(b" ")[1]), json.loads(data.partition(b"\r\n\r\n")[2] or b"null")


def _length(data: bytes) -> int:
    fields = [line.split(b":") for line in data.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")]
    return next(int(field[1]) for field in fields if field[0] == b"content-length")


@pytest.mark.parametrize("count", [LIMIT, LIMIT + 1, 5 * LIMIT])
@pytest.mark.parametrize("way", ["chunks", "length"])
def test_the_limit_is_exact_and_does_not_trust_headers(replica: Replica, count: int, way: str) -> None:
    """S-43: a body in chunks names no length, so it is counted as it comes."""
    body = of_length(count)
    if way == "chunks":
        status, said = send(replica.fork.serve, "transfer-encoding: chunked", chunked(body))
    else:
        status, said = send(replica.fork.serve, f"content-length: {count}", [body] if count <= LIMIT else [])
    if count <= LIMIT:
        assert (status, said) == (200, count - 11)
    else:
        assert (status, said["error"]["code"]) == (413, "body_too_large")
        assert str(LIMIT) in said["error"]["message"]


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("PATCH", "/v1/models/m/predict", 405),
        ("TRACE", "/v1/models/m/predict", 405),
        ("POST", "/v1/models/m/nothing", 404),
        ("POST", "/v1/elsewhere", 404),
        ("DELETE", "/v2/models/m/infer", 405),
    ],
)
@pytest.mark.parametrize("size", [5_000, 500_000])
def test_what_is_refused_is_read_and_the_next_request_on_the_connection_is_answered(
    replica: Replica, method: str, target: str, status: int, size: int
) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.settimeout(DEADLINE_S)
        unix.connect(replica.fork.serve)
        connection = HTTPConnection("r")
        connection.sock, connection.auto_open = unix, 0
        headers = {"x-fairlead-gate": GATE}
        for _ in range(3):
            connection.request(method, target, of_length(size), headers)
            answer = connection.getresponse()
            assert (answer.status, answer.read()[:9]) == (status, b'{"error":')
            connection.request("POST", "/v1/models/m/predict", b'{"text":"abc"}', headers)
            assert connection.getresponse().read() == b"3"


def test_many_tiny_chunks_are_one_body(replica: Replica) -> None:
    """S-43: chunks of one byte neither fail nor hold up others for long."""
    body = of_length(20_000)
    status, said = send(replica.fork.serve, "transfer-encoding: chunked", chunked(body, 1))
    assert (status, said) == (200, 20_000 - 11)


class Site:
    """Answers with the length of each body, by a receiver that has little patience."""

    def __init__(self) -> None:
        self.receiver = Receiver(LIMIT, BODY_S)
        self.outcomes: list[str] = []

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        try:
            body = await self.receiver.read(scope, proto)
        except Invalid as error:
            self.outcomes.append(error.code)
            proto.response_bytes(408, [("content-type", "text/plain")], b"0")
        except GivenUp:
            self.outcomes.append("given up")
        else:
            self.outcomes.append("read")
            proto.response_bytes(200, [], str(len(body)).encode())


@pytest.fixture
async def site() -> AsyncIterator[tuple[Site, str]]:
    made = Site()
    with tempfile.TemporaryDirectory(prefix="fl-") as folder:
        path = Path(folder) / "s"
        server = http_server(made, path)  # type: ignore[arg-type]
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(DEADLINE_S):
            while not path.exists():
                await asyncio.sleep(0.01)
        yield made, str(path)
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait({serving}, timeout=2)


@pytest.mark.parametrize(
    "framing", ["transfer-encoding: chunked", f"content-length: {LIMIT}"], ids=["chunks", "long length"]
)
async def test_a_body_that_drips_is_given_up(site: tuple[Site, str], framing: str) -> None:
    made, path = site
    began = time.monotonic()
    first = b"3\r\nabc\r\n" if "chunked" in framing else b"abc"
    status, _ = await asyncio.to_thread(send, path, framing, [first])

    assert (status, made.outcomes) == (408, ["request_too_slow"])
    assert time.monotonic() - began >= BODY_S


async def test_a_short_body_that_never_comes_is_found_by_a_look_at_all(site: tuple[Site, str]) -> None:
    made, path = site
    sending = asyncio.create_task(asyncio.to_thread(send, path, "content-length: 100", [b"abc"]))
    async with asyncio.timeout(DEADLINE_S):
        while not (late := made.receiver.overdue(time.monotonic())):
            await asyncio.sleep(0.02)
    assert made.receiver.overdue(time.monotonic() + 60) == [], "each is answered once"
    late[0].response_bytes(408, [], b"0")

    assert (await sending)[0] == 408
    async with asyncio.timeout(DEADLINE_S):
        while made.outcomes != ["given up"]:
            await asyncio.sleep(0.02)


async def test_a_body_that_keeps_coming_has_more_time(site: tuple[Site, str]) -> None:
    made, path = site

    def slowly() -> Iterator[bytes]:
        for _ in range(16):  # each gives a second more
            yield b"%x\r\n%s\r\n" % (65_536, b"x" * 65_536)
        time.sleep(1.5 * BODY_S)  # it ends later than a body may of which nothing came
        yield b"0\r\n\r\n"

    assert await asyncio.to_thread(send, path, "transfer-encoding: chunked", slowly()) == (200, 16 * 65_536)
    assert made.outcomes == ["read"]


async def test_a_body_that_names_its_length_has_the_time_of_that_length(site: tuple[Site, str]) -> None:
    made, path = site
    long, short = (
        asyncio.create_task(asyncio.to_thread(send, path, f"content-length: {length}", [b"abc"]))
        for length in (655_360, 100)  # 10 s more, and none
    )
    found: list[int] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < 2:
            for after_s in (5, 12):
                for proto in made.receiver.overdue(time.monotonic() + BODY_S + after_s):
                    found.append(after_s)
                    proto.response_bytes(408, [], b"0")
            await asyncio.sleep(0.02)

    assert sorted(found)[-1] == 12
    assert ((await long)[0], (await short)[0]) == (408, 408)
