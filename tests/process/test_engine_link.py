"""The keeper's end of a channel, against a Unix socket that behaves badly."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead import messages
from fairlead.engines import link as channel
from fairlead.engines.link import ReplicaLink
from fairlead.errors import Unavailable
from fairlead.status import ReplicaStatus

LIMIT_S = 30
BEAT = messages.Beat(status=ReplicaStatus.READY, served=3)


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fl-") as folder:  # socket paths must be short
        yield Path(folder) / "keep.sock"


async def serve_once(path: Path, data: bytes) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        received.put_nowait(await reader.read())
        writer.close()

    received: asyncio.Queue[bytes] = asyncio.Queue()
    return await asyncio.start_unix_server(answer, path)


async def test_beats_are_iterated_and_the_end_ends_it(path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(messages.frame(BEAT) + messages.frame(messages.JobDone(job="j", epoch=1, body=b"x" * 300_000)))
        await messages.read_frame(reader)
        writer.close()

    async with (
        asyncio.timeout(LIMIT_S),
        await asyncio.start_unix_server(answer, path),
        await ReplicaLink.dial(path) as link,
    ):
        assert await anext(link) == BEAT
        done = await anext(link)
        assert isinstance(done, messages.JobDone)
        assert len(done.body) == 300_000
        await link.send(messages.Drain(grace_s=1))
        assert [message async for message in link] == []


async def test_dialing_waits_for_a_replica_that_is_not_there_yet(path: Path) -> None:
    async with asyncio.timeout(LIMIT_S):
        dialing = asyncio.create_task(ReplicaLink.dial(path))
        await asyncio.sleep(0)
        async with await serve_once(path, messages.frame(BEAT)), await dialing as link:
            assert await anext(link) == BEAT


async def test_a_full_backlog_is_waited_for(path: Path) -> None:
    """asyncio alone would take the kernel's EAGAIN for a connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        waiting = []
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            waiting.append(client)
            try:
                client.connect(str(path))
            except BlockingIOError:
                break
        async with asyncio.timeout(LIMIT_S):
            dialing = asyncio.create_task(ReplicaLink.dial(path))
            await asyncio.sleep(0.05)
            assert not dialing.done()
            accepted = [listener.accept()[0] for _ in waiting[:-1]]
            link = await dialing
            peer, _ = listener.accept()
            peer.sendall(messages.frame(BEAT))
            assert await anext(link) == BEAT
            await link.close()
        for sock in (*waiting, *accepted, peer):
            sock.close()


async def test_nobody_there_is_an_error_in_time(path: Path) -> None:
    with pytest.raises(Unavailable, match=r"keep\.sock"):
        await ReplicaLink.dial(path, timeout_s=0.05)


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\x03abc", messages.frame(messages.Drain())])
async def test_what_is_no_message_of_a_replica_ends_the_iteration(path: Path, data: bytes) -> None:
    async with asyncio.timeout(LIMIT_S), await serve_once(path, data), await ReplicaLink.dial(path) as link:
        assert [message async for message in link] == []


async def send_without_end(link: ReplicaLink) -> None:
    while True:  # until the buffers of both ends are full
        await link.send(messages.JobCancel(job="j" * 60_000))


async def test_a_replica_that_does_not_read_holds_up_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "SEND_S", 0.1)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        async with asyncio.timeout(LIMIT_S):
            link = await ReplicaLink.dial(path)
            peer, _ = listener.accept()
            with peer, pytest.raises(Unavailable, match="does not read") as caught:
                await send_without_end(link)
            assert caught.value.code == "replica_gone"
            await link.close()
