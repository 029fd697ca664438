"""Ends of jobs stay with the replica until control knows them, whatever becomes of the keeper that heard them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from fairlead import messages
from fairlead.messages import (
    PORTION_BYTES,
    Beat,
    ErrorInfo,
    FromReplica,
    JobDone,
    JobHeard,
    JobPortion,
    JobStart,
    Metered,
    ToReplica,
)
from fairlead.modelserver import kept as kept_ends
from fairlead.modelserver.calls import Call, Reply
from fairlead.modelserver.kept import KEPT_MAX, Kept
from fairlead.modelserver.worker import Channel
from fairlead.status import ReplicaStatus

DEADLINE_S = 30.0
LONG = b"x" * (PORTION_BYTES + 1)


class Echo:
    """A model that answers each call with a long result, at once."""

    def beat(self) -> Beat:
        return Beat(ReplicaStatus.READY)

    def metered(self, *, whole: bool) -> Metered | None:
        return None

    def start(self, call: Call) -> Future[Reply]:
        future: Future[Reply] = Future()
        future.set_result(Reply(LONG, "text/plain"))
        return future

    def drain(self, grace_s: float) -> None:
        raise AssertionError(grace_s)

    def abandon(self, error: ErrorInfo) -> None:
        raise AssertionError(error)


class Keeper:
    """One that has dialed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def dial(cls, path: Path) -> Keeper:
        return cls(*await asyncio.open_unix_connection(str(path)))

    async def say(self, message: ToReplica) -> None:
        self._writer.write(messages.frame(message))
        await self._writer.drain()

    async def hear(self) -> FromReplica:
        async with asyncio.timeout(DEADLINE_S):
            return msgspec.msgpack.decode(await messages.read_frame(self._reader), type=FromReplica)  # type: ignore[no-any-return]

    async def result(self) -> tuple[str, bytes]:
        """Return the next result that is told: job and bytes."""
        data = b""
        while True:
            match await self.hear():
                case JobPortion(data=more, is_first=is_first):
                    data = more if is_first else data + more
                case JobDone(job=job, size=size):
                    assert size == len(data)
                    return job, data

    async def beats_only(self, times: int) -> bool:
        """Whether this many beats come, and nothing else before."""
        return all([isinstance(await self.hear(), Beat) for _ in range(times)])

    def hang_up(self) -> None:
        self._writer.close()


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fl-"))  # paths of sockets must be short
    yield folder / "keep.sock"
    shutil.rmtree(folder, ignore_errors=True)


async def test_an_end_is_told_to_each_keeper_until_one_says_that_control_knows(path: Path) -> None:
    Channel(str(path), Echo(), 10 * len(LONG)).start()
    first = await Keeper.dial(path)
    await first.say(JobStart("job-1", 1, "predict", b"", "image/png", "*/*", "ada", 60))
    assert await first.result() == ("job-1", LONG)
    first.hang_up()  # it is killed: nobody knows whether it passed it on
    second = await Keeper.dial(path)
    assert await second.result() == ("job-1", LONG)
    await second.say(JobHeard("job-1", 1))
    await second.say(JobStart("job-2", 1, "predict", b"", "image/png", "*/*", "ada", 60))
    assert await second.result() == ("job-2", LONG)
    await second.say(JobHeard("job-2", 1))
    await second.say(JobStart("job-3", 1, "predict", b"", "image/png", "*/*", "ada", 60))
    assert await second.result() == ("job-3", LONG), "what was said before has arrived"
    third = await Keeper.dial(path)
    assert await third.result() == ("job-3", LONG), "and no other"
    assert await third.beats_only(2)
    second.hang_up()
    third.hang_up()


def test_no_more_ends_are_kept_than_a_keeper_takes() -> None:
    kept = Kept()
    for number in range(KEPT_MAX + 5):
        kept.add(JobDone(f"job-{number}", 1))
    assert [one.job for one in kept.all()] == [f"job-{number}" for number in range(5, KEPT_MAX + 5)]
    kept.forget("job-7", 2)
    kept.forget("job-8", 1)
    assert [one.job for one in kept.all()][:4] == ["job-5", "job-6", "job-7", "job-9"]


def test_what_was_heard_takes_little_memory_and_what_was_not_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_ends, "KEPT_BYTES", 10)
    kept = Kept()
    ends = [JobDone(f"job-{number}", 1, b"x" * 6) for number in range(4)]
    for end in ends:
        kept.add(end)
    assert kept.all() == ends, "nobody heard them"
    for end in ends[1:]:
        kept.told(end)
    assert kept.all() == [ends[0], ends[3]]
