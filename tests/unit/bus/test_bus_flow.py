"""What comes in on a bus: read however it is cut, in order, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import nats.errors
import pytest

from fairlead.bus.flow import Came, Flow, Reader

WIRE = (
    b"PING\r\n"
    b"MSG dev.t1.state.x 7 4\r\n21.5\r\n"
    b"MSG dev.t2.state.x 7 6\r\nMSG \r\n\r\n"
    b"HMSG fl.report.local 7 23 25\r\nNATS/1.0\r\nPart: 1/2\r\n\r\nab\r\n"
    b"MSG _INBOX.control.1 1 answer.to 0\r\n\r\n"
    b"MSG dev.t1.state.x 7 back 0\r\n\r\n"
    b"PONG\r\n"
)


class Client:
    """What nats-py's client is to its parser."""

    def __init__(self) -> None:
        self.others: list[object] = []

    async def _process_headers(self, raw: bytes) -> dict[str, str]:
        return dict([raw.decode().split("\r\n")[1].split(": ")])

    async def _process_msg(self, *given: Any) -> None:
        self.others.append(given)

    async def _process_ping(self) -> None:
        self.others.append("ping")

    async def _process_pong(self) -> None:
        self.others.append("pong")


class Taken(list[Came]):
    async def __call__(self, many: Sequence[Came]) -> None:
        self.extend(many)


def flow(taken: Taken, most: int = 100, most_bytes: int = 1000) -> Flow:
    return Flow(taken, lambda dropped, subject: None, most=most, most_bytes=most_bytes)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40, 1000])
async def test_what_comes_in_blocks_of_any_size_is_the_same(size: int) -> None:
    client, taken = Client(), Taken()
    reader = Reader(client)
    reader.flows[b"7"] = flow(taken)
    for start in range(0, len(WIRE), size):
        await reader.parse(WIRE[start : start + size])

    # no turn of the loop in between: those who take have had theirs before the next block is read
    assert taken == [
        (b"dev.t1.state.x", b"21.5", None),
        (b"dev.t2.state.x", b"MSG \r\n", None),
        (b"fl.report.local", b"ab", {"Part": "1/2"}),
        (b"dev.t1.state.x", b"", None),
    ]
    assert client.others == ["ping", (1, b"_INBOX.control.1", b"answer.to", b"", None), "pong"]
    await reader.flows[b"7"].stop()


@pytest.mark.parametrize("wire", [b"MSG dev.x 7 many\r\n", b"MSG 7\r\n", b"HMSG\r\n"])
async def test_what_is_no_message_ends_the_connection(wire: bytes) -> None:
    with pytest.raises(nats.errors.ProtocolError):
        await Reader(Client()).parse(wire)


async def test_nothing_of_an_old_connection_is_taken_for_the_new_one() -> None:
    client = Client()
    reader = Reader(client)
    await reader.parse(b"MSG dev.t1.state.x 7 400\r\nhal")
    reader.reset()
    await reader.parse(b"PING\r\n")
    assert client.others == ["ping"]


async def test_what_does_not_fit_is_dropped_and_counted() -> None:
    taken = Taken()
    held = flow(taken, most=3, most_bytes=10)
    for number in range(5):
        held.put(b"s", b"%d" % number, None)
    assert held.dropped == 2
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    held.put(b"s", b"x" * 11, None)
    assert held.dropped == 3
    held.put(b"s", b"x" * 10, None)
    await asyncio.sleep(0)
    assert [payload for _, payload, _ in taken] == [b"0", b"1", b"2", b"x" * 10]
    await held.stop()
