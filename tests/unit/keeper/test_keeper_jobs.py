"""Jobs of one machine: real replicas' loop and channel; engine, bus and clock are fakes, replica and control are played."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from fairlead import messages
from fairlead.buckets.keys import result_key
from fairlead.buckets.obstore import ObstoreBucket, open_bucket
from fairlead.engines import Launch
from fairlead.engines.local import launch_for
from fairlead.errors import Error, Unavailable
from fairlead.keeper.serving import jobs as keeper_jobs
from fairlead.keeper.serving import pool
from fairlead.keeper.serving.jobs import OVERTIME_S, Jobs
from fairlead.keeper.serving.outcomes import INLINE_BYTES
from fairlead.keeper.serving.replicas import Replicas
from fairlead.keeper.serving.spool import Spool
from fairlead.messages import (
    Answer,
    Beat,
    EnvironmentSpec,
    ErrorInfo,
    JobBegan,
    JobCancel,
    JobDone,
    JobEnded,
    JobHeard,
    JobHeld,
    JobInput,
    JobMoved,
    JobOrder,
    JobPortion,
    JobProgress,
    JobReturned,
    JobStart,
    JobStop,
    ModelSpec,
    VersionWanted,
)
from fairlead.settings import Home
from fairlead.status import ReplicaStatus
from fairlead.testing.bus import MemoryBus
from fairlead.testing.clock import ManualClock
from fairlead.testing.engine import HistoryEngine

KEY = ("faces", "1")
DEADLINE_S = 20.0
SPEC = ModelSpec(name="faces", version="1", runtime="python", concurrency=2)


def wanted(replicas: int = 1) -> VersionWanted:
    return VersionWanted(
        spec=SPEC,
        digest="sha256:0123456789abcdef",
        bundle_key="",
        environment=EnvironmentSpec(),
        gate="g",
        replicas=replicas,
    )


def order(job: str = "job-1", epoch: int = 1, **changes: object) -> JobOrder:
    return msgspec.structs.replace(JobOrder(job, epoch, *KEY, body=b"{}", timeout_s=5), **changes)


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not met():
            await asyncio.sleep(0.001)


class Played:
    """A replica that says what the test has it say; ``heard`` is what the keeper said to it."""

    def __init__(self) -> None:
        self.heard: list[messages.ToReplica] = []
        self.held: list[messages.FromReplica] = []
        """Said to each keeper that dials."""
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._server = await asyncio.start_unix_server(self._take, path)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.say(Beat(ReplicaStatus.READY), *self.held)
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                self.heard.append(msgspec.msgpack.decode(await messages.read_frame(reader), type=messages.ToReplica))
        writer.close()

    def say(self, *said: messages.FromReplica) -> None:
        assert self._writer is not None
        for message in said:
            self._writer.write(messages.frame(message))

    async def break_(self) -> None:
        """Hang up; returns when the keeper has dialled again."""
        before = self._writer
        assert before is not None
        before.close()
        await until(lambda: self._writer is not before)

    @property
    def begun(self) -> list[tuple[str, int]]:
        return [(one.job, one.epoch) for one in self.heard if isinstance(one, JobStart)]

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._server.close()


class Node:
    """One machine. ``ended`` and so on are what control heard; ``refuses`` has it refuse to begin anything."""

    def __init__(self, home: Home) -> None:
        self.home, self.clock, self.bus = home, ManualClock(), MemoryBus()
        self.bucket: ObstoreBucket = open_bucket("memory://")
        self.engine = HistoryEngine(self.clock)
        self.played: dict[str, Played] = {}
        self.began: list[JobBegan] = []
        self.ended: list[JobEnded] = []
        self.moved: list[JobMoved] = []
        self.returned: list[JobReturned] = []
        self.refuses = False
        self.is_away = False
        """Control takes no end for the time being."""
        self.may_answer = asyncio.Event()
        """Control answers what may begin."""
        self.may_answer.set()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, wants: int = 1) -> None:
        await self.bus.serve(JobBegan, self._begin)
        await self.bus.serve(JobEnded, self._end)
        await self.bus.serve(JobReturned, self._return)
        await self.bus.subscribe(JobMoved, self._move)
        self.start()
        self.replicas.want((wanted(wants),))

    def start(self) -> None:
        """Begin a keeper's life."""
        self.replicas = Replicas(
            self.engine,
            self._launch,
            self.clock,
            on_message=lambda key, replica, message: self.jobs.on_message(key, replica, message),
            on_lost=lambda key, replica, reason: self.jobs.lost(key, replica, reason),
            changed=lambda: self.jobs.nudge(),
        )
        spool = Spool(self.home.results, 100 * 1024**2)
        self.jobs = Jobs("local", self.replicas, self.bus, self.bucket, self.clock, spool)
        self._tasks = [asyncio.create_task(self.replicas.run()), asyncio.create_task(self.jobs.run())]

    async def begin_jobs_again(self) -> None:
        """End the loop of jobs as a fault in it would, and begin it again."""
        self._tasks[1].cancel()
        await asyncio.gather(self._tasks[1], return_exceptions=True)
        self._tasks[1] = asyncio.create_task(self.jobs.run())

    async def kill(self) -> None:
        """End the keeper's life; replicas live on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ready(self) -> Played:
        """Return the one replica, once it may be given jobs."""
        await until(lambda: self.replicas.link_for_job(KEY) is not None)
        return next(iter(self.played.values()))

    async def pass_(self, seconds: int) -> None:
        """Let time pass while all replicas beat."""
        for _ in range(seconds):
            await self.clock.advance(1)
            for replica, played in self.played.items():
                known = self.replicas.replica(KEY, replica)
                if known is not None and known.left is None:
                    played.say(Beat(ReplicaStatus.READY))
                    await until(lambda known=known: known.beat == self.clock.monotonic())
        self.jobs.nudge()

    async def close(self) -> None:
        await self.kill()
        for played in self.played.values():
            await played.close()
        await self.bus.close()

    async def _launch(self, version: VersionWanted) -> Launch:
        made = launch_for(version, self.home, bundle=self.home.root, environment=Path(sys.prefix))
        self.played[made.replica] = Played()
        await self.played[made.replica].serve(made.fork.keep)
        return made

    async def _begin(self, message: JobBegan) -> Answer:
        self.began.append(message)
        await self.may_answer.wait()
        return Answer(ok=not self.refuses)

    async def _end(self, message: JobEnded) -> Answer:
        if self.is_away:
            raise Error("away")
        self.ended.append(message)
        return Answer()

    async def _return(self, message: JobReturned) -> Answer:
        self.returned.append(message)
        return Answer()

    async def _move(self, message: JobMoved) -> None:
        self.moved.append(message)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    root = Path(tempfile.mkdtemp(prefix="fl-"))  # socket paths must be short
    root.chmod(0o700)
    made = Node(Home(root))
    await made.open()
    yield made
    await made.close()
    shutil.rmtree(made.home.run, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)


async def at_work(node: Node, *orders: JobOrder) -> Played:
    """Return the replica, once it has begun all ``orders``."""
    replica = await node.ready()
    for one in orders:
        await node.jobs.take(one)
    await until(lambda: {(one.job, one.epoch) for one in orders} <= set(replica.begun))
    return replica


async def test_a_loop_that_begins_again_keeps_what_was_begun_and_lets_go_of_the_rest(node: Node) -> None:
    replica = await at_work(node, order())
    node.may_answer.clear()
    replica.say(JobDone("job-1", 1, body=b"4"))
    await until(lambda: len(node.ended) == 1)
    await node.jobs.take(order("job-2"))
    await until(lambda: len(node.began) == 2)
    await node.begin_jobs_again()
    await until(lambda: not node.jobs.in_hand())
    node.may_answer.set()
    await node.jobs.take(order("job-2", 2))
    await until(lambda: ("job-2", 2) in replica.begun)
    await node.begin_jobs_again()
    await asyncio.sleep(0)
    assert node.jobs.in_hand() == {"job-2": 2}
    replica.say(JobDone("job-2", 2, body=b"4"))
    await until(lambda: not node.jobs.in_hand())


async def test_an_order_is_begun_moves_and_ends(node: Node) -> None:
    replica = await at_work(node, order())
    assert node.jobs.in_hand() == {"job-1": 1}
    replica.say(JobProgress("job-1", 1, 3, 20), JobDone("job-1", 1, body=b"4"))
    await until(lambda: not node.jobs.in_hand() and bool(node.moved))
    assert [(one.job, one.epoch, one.body, one.error) for one in node.ended] == [("job-1", 1, b"4", None)]
    assert [(one.step, one.total) for one in node.moved] == [(3, 20)]


async def test_a_large_result_goes_through_the_bucket(node: Node) -> None:
    replica = await at_work(node, order())
    replica.say(JobDone("job-1", 1, body=b"x" * (INLINE_BYTES + 1)))
    await until(lambda: not node.jobs.in_hand())
    key = result_key("faces", "job-1", 1)
    assert (node.ended[0].result_key, node.ended[0].body) == (key, b"")
    assert len((await node.bucket.get(key)).data) == INLINE_BYTES + 1


Event = Callable[[Node, Played], Awaitable[None]]


async def same_again(node: Node, _: Played) -> None:
    await node.jobs.take(order())


async def older(node: Node, _: Played) -> None:
    await node.jobs.take(order(epoch=0))


async def other_epoch_ends(_: Node, replica: Played) -> None:
    replica.say(JobDone("job-1", 7, body=b"other"))


async def says_it_holds(_: Node, replica: Played) -> None:
    replica.say(JobHeld("job-1", 1, 3), JobHeld("job-1", 0, 3))


async def channel_breaks(_: Node, replica: Played) -> None:
    replica.held = [JobHeld("job-1", 1, 3)]
    await replica.break_()


@pytest.mark.parametrize("event", [same_again, older, other_epoch_ends, says_it_holds, channel_breaks])
async def test_what_changes_nothing(node: Node, event: Event) -> None:
    replica = await at_work(node, order())
    await event(node, replica)
    replica.say(JobDone("job-1", 1, body=b"4"))
    await until(lambda: bool(node.ended))
    assert [(one.epoch, one.body) for one in node.ended] == [(1, b"4")]
    assert replica.begun == [("job-1", 1)]
    assert len(node.began) == 1


async def dies(node: Node, _: Played) -> None:
    (replica,) = node.played
    node.engine.end(replica, -9)


async def fails(_: Node, replica: Played) -> None:
    replica.say(JobDone("job-1", 1, error=ErrorInfo("model_failed", "boom", kind="internal", retry=True)))


async def hangs(node: Node, _: Played) -> None:
    await node.pass_(5 + int(OVERTIME_S) + 1)


@pytest.mark.parametrize(
    ("event", "code"),
    [(dies, "replica_lost"), (fails, "model_failed"), (hangs, "timed_out")],
)
async def test_what_ends_an_attempt_that_may_be_tried_again(node: Node, event: Event, code: str) -> None:
    await event(node, await at_work(node, order()))
    await until(lambda: not node.jobs.in_hand())
    assert [(one.epoch, one.error.code, one.error.retry) for one in node.ended if one.error] == [(1, code, True)]


async def test_a_replica_that_keeps_a_job_beyond_its_time_is_replaced(node: Node) -> None:
    replica = await at_work(node, order())
    (first,) = node.played
    await node.pass_(5 + int(OVERTIME_S) - 1)
    assert node.ended == []
    await node.pass_(2)
    await until(lambda: len(node.played) == 2)
    known = node.replicas.replica(KEY, first)
    assert known is None or known.reason == "it kept job-1 beyond its time"
    replica.say(JobDone("job-1", 1, body=b"late"))
    await node.jobs.take(order(epoch=2))
    second = node.played[next(name for name in node.played if name != first)]
    await until(lambda: second.begun == [("job-1", 2)])
    second.say(JobDone("job-1", 2, body=b"4"))
    await until(lambda: not node.jobs.in_hand())
    assert node.ended[-1].body == b"4"


async def test_an_end_that_control_did_not_hear_is_said_again_and_is_the_only_one(node: Node) -> None:
    replica = await at_work(node, order())
    node.is_away = True
    replica.say(JobDone("job-1", 1, body=b"4"))
    await until(lambda: node.clock.sleepers > 0)
    await dies(node, replica)
    await until(lambda: node.replicas.replica(KEY, next(iter(node.played))) is None)
    assert node.jobs.in_hand() == {"job-1": 1}, "its lease must hold until control knows"
    node.is_away = False
    await node.clock.advance(1)
    await until(lambda: not node.jobs.in_hand())
    assert [(one.body, one.error) for one in node.ended] == [(b"4", None)]


async def test_the_replica_keeps_an_end_until_control_knows_it_so_that_it_survives_a_keeper(node: Node) -> None:
    replica = await at_work(node, order())
    node.is_away = True
    done = (JobPortion("job-1", 1, b"a" * 70_000, is_first=True), JobDone("job-1", 1, size=70_000))
    replica.say(*done)
    await until(lambda: node.clock.sleepers > 0)
    await node.kill()
    assert JobHeard("job-1", 1) not in replica.heard
    replica.held = [*done]
    node.is_away = False
    node.start()
    await until(lambda: JobHeard("job-1", 1) in replica.heard)
    assert [(one.job, one.epoch, one.error) for one in node.ended] == [("job-1", 1, None)]
    assert replica.begun == [("job-1", 1)]


async def test_an_end_that_a_new_channel_tells_from_its_beginning_is_whole(node: Node) -> None:
    replica = await at_work(node, order())
    replica.say(JobPortion("job-1", 1, b"a" * 70_000, is_first=True), Beat(ReplicaStatus.READY, served=7))
    known = node.replicas.replica(KEY, next(iter(node.played)))
    assert known is not None
    await until(lambda: known.served == 7)
    await replica.break_()
    replica.say(JobPortion("job-1", 1, b"a" * 70_000, is_first=True), JobDone("job-1", 1, size=70_000))
    await until(lambda: bool(node.ended))
    assert node.ended[0].error is None


async def test_an_end_of_an_older_attempt_need_not_be_kept(node: Node) -> None:
    replica = await at_work(node, order(epoch=2))
    replica.say(JobDone("job-1", 1, body=b"old"))
    await until(lambda: JobHeard("job-1", 1) in replica.heard)
    assert node.ended == []


async def test_what_control_does_not_let_begin_is_dropped(node: Node) -> None:
    replica = await node.ready()
    node.refuses = True
    await node.jobs.take(order())
    await until(lambda: bool(node.began) and not node.jobs.in_hand())
    assert (replica.begun, node.ended) == ([], [])
    node.refuses = False
    await at_work(node, order(epoch=2))


async def test_a_canceled_job_is_stopped_wherever_it_is(node: Node) -> None:
    replica = await at_work(node, order("job-1"), order("job-2"))
    await node.jobs.take(order("job-3"))
    for job in ("job-1", "job-3"):
        await node.jobs.stop(JobStop(job, *KEY))
    await until(lambda: JobCancel("job-1") in replica.heard)
    assert node.jobs.in_hand() == {"job-1": 1, "job-2": 1}
    replica.say(JobDone("job-1", 1, error=ErrorInfo("canceled", "it was canceled")), JobDone("job-2", 1))
    await until(lambda: not node.jobs.in_hand())
    assert replica.begun == [("job-1", 1), ("job-2", 1)]


@pytest.mark.parametrize("epochs", [(1, 2), (2, 1)])
async def test_of_two_attempts_that_wait_the_newer_is_begun(node: Node, epochs: tuple[int, int]) -> None:
    replica = await at_work(node, order("job-1"), order("job-2"))
    for epoch in epochs:
        await node.jobs.take(order("job-3", epoch=epoch))
    assert node.jobs.in_hand()["job-3"] == 2
    replica.say(JobDone("job-1", 1), JobDone("job-2", 1))
    await until(lambda: ("job-3", 2) in replica.begun)
    assert ("job-3", 1) not in [(one.job, one.epoch) for one in node.began]


async def test_a_full_node_sends_orders_back(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    replica = await at_work(node, order("job-1"), order("job-2"))
    monkeypatch.setattr(keeper_jobs, "HELD_MAX", 1)
    await node.jobs.take(order("job-3"))
    await node.jobs.take(order("job-4"))
    await until(lambda: bool(node.returned))
    assert [one.job for one in node.returned] == ["job-4"]
    replica.say(JobDone("job-1", 1))
    await until(lambda: ("job-3", 1) in replica.begun)


async def test_a_version_that_is_not_here_has_the_order_sent_back_with_its_reason(node: Node) -> None:
    await node.jobs.take(order(model="others"))
    await until(lambda: bool(node.returned) and not node.jobs.in_hand())
    (returned,) = node.returned
    assert "version_not_found" in returned.reason
    assert (node.began, node.ended) == ([], []), "no attempt was made"


async def test_jobs_that_wait_while_a_version_crashes_lose_no_attempt(node: Node) -> None:
    replica = await at_work(node, order("job-1"), order("job-2"))
    await node.jobs.take(order("job-3"))
    node.replicas.versions[KEY].crashes = [node.clock.monotonic()] * 6
    await dies(node, replica)
    await until(lambda: len(node.returned) == 1 and not node.jobs.in_hand())
    assert {one.job for one in node.ended} == {"job-1", "job-2"}, "what it had when it ended may be why"
    (returned,) = node.returned
    assert returned.job == "job-3"
    assert "crash_loop" in returned.reason
    assert returned.after_s > 20
    assert "job-3" not in [one.job for one in node.began]


async def test_a_job_whose_replica_ends_before_it_was_given_loses_no_attempt(node: Node) -> None:
    replica = await node.ready()
    node.may_answer.clear()
    await node.jobs.take(order())
    await until(lambda: bool(node.began))
    await dies(node, replica)
    await until(lambda: bool(node.returned))
    node.may_answer.set()
    await until(lambda: not node.jobs.in_hand())
    assert (replica.begun, node.ended) == ([], [])
    assert "replica_lost" in node.returned[0].reason


async def test_stopping_the_platform_costs_no_attempt(node: Node) -> None:
    replica = await at_work(node, order(), order("job-2"))
    node.jobs.begin_end()
    replica.say(JobDone("job-2", 1, error=ErrorInfo("draining", "it is stopping", kind="unavailable", retry=True)))
    await until(lambda: bool(node.returned))
    await dies(node, replica)
    async with asyncio.timeout(DEADLINE_S):
        await node.jobs.end()
    assert node.ended == []
    assert sorted(one.job for one in node.returned) == ["job-1", "job-2"]
    assert {one.reason for one in node.returned} == {"the platform was stopped meanwhile (platform_stopped)"}
    await node.jobs.take(order("job-4"))
    assert "job-4" not in node.jobs.in_hand()


async def test_a_bucket_that_is_away_before_a_job_is_given_costs_no_attempt(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(key: str, **_: object) -> AsyncIterator[bytes]:
        raise Unavailable("the store is away", code="bucket_down")
        yield b""

    replica = await node.ready()
    monkeypatch.setattr(node.bucket, "stream", away)
    await node.jobs.take(order(input_key="in/faces/job-1/a.png", body=b""))
    await until(lambda: bool(node.returned) and not node.jobs.in_hand())
    assert (replica.begun, node.ended) == ([], [])


async def test_an_input_that_is_gone_fails_for_good(node: Node) -> None:
    await node.ready()
    await node.jobs.take(order(input_key="jobs/faces/job-1/input"))
    await until(lambda: bool(node.ended))
    assert node.ended[0].error is not None
    assert not node.ended[0].error.retry


async def test_a_long_input_goes_to_the_replica_in_portions(node: Node) -> None:
    data = bytes(range(256)) * 12_000
    await node.bucket.put("in/faces/job-1/a.png", data, "image/png")
    replica = await node.ready()
    await node.jobs.take(order(input_key="in/faces/job-1/a.png", body=b"", content_type="image/png"))
    await until(lambda: any(isinstance(one, JobInput) and one.is_last for one in replica.heard))
    start, *portions = [one for one in replica.heard if isinstance(one, JobStart | JobInput)]
    assert isinstance(start, JobStart)
    assert (start.body, start.is_portioned, start.content_type) == (b"", True, "image/png")
    assert b"".join(one.data for one in portions if isinstance(one, JobInput)) == data
    replica.say(JobDone("job-1", 1, body=b"4"))
    await until(lambda: not node.jobs.in_hand())
    assert node.ended[0].body == b"4"


async def test_an_input_that_breaks_off_is_taken_back_and_tried_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(key: str, **_: object) -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise Unavailable("the store is away", code="bucket_down")

    replica = await node.ready()
    monkeypatch.setattr(node.bucket, "stream", broken)
    await node.jobs.take(order(input_key="in/faces/job-1/a.png", body=b""))
    await until(lambda: bool(node.ended))
    assert node.ended[0].error is not None
    assert (node.ended[0].error.code, node.ended[0].error.retry) == ("bucket_down", True)
    await until(lambda: JobInput("job-1", 1, is_broken=True) in replica.heard)


async def test_a_long_result_comes_in_portions_and_lies_in_the_bucket(node: Node) -> None:
    replica = await at_work(node, order())
    replica.say(JobPortion("job-1", 1, b"a" * 70_000), JobPortion("job-1", 1, b"b" * 70_000))
    replica.say(JobDone("job-1", 1, content_type="image/png", size=140_000))
    await until(lambda: not node.jobs.in_hand())
    (ended,) = node.ended
    assert (ended.result_key, ended.body, ended.error) == (result_key(*KEY[:1], "job-1", 1), b"", None)
    blob = await node.bucket.get(ended.result_key)
    assert (blob.data, blob.content_type) == (b"a" * 70_000 + b"b" * 70_000, "image/png")
    assert list(node.home.results.glob("*")) == []


async def test_a_result_of_which_a_portion_is_missing_is_done_again(node: Node) -> None:
    replica = await at_work(node, order())
    replica.say(JobPortion("job-1", 1, b"a" * 70_000), JobDone("job-1", 1, size=140_000))
    await until(lambda: not node.jobs.in_hand())
    assert node.ended[0].error is not None
    assert (node.ended[0].error.code, node.ended[0].error.retry) == ("result_lost", True)
    replica.say(JobPortion("job-9", 1, b"of a job that nobody has"), JobDone("job-9", 1, size=24))
    await until(lambda: len(node.ended) == 2)
    await until(lambda: list(node.home.results.glob("*")) == [])


async def test_a_new_keeper_carries_on_what_its_replicas_have_in_hand(node: Node) -> None:
    replica = await at_work(node, order("job-1"), order("job-2"))
    await node.kill()
    replica.held = [JobHeld("job-1", 1, 3), JobHeld("job-2", 1, 3)]
    node.start()
    await until(lambda: node.jobs.in_hand() == {"job-1": 1, "job-2": 1})
    node.replicas.want((wanted(),))
    await node.jobs.take(order("job-3"))
    replica.say(JobDone("job-1", 1, body=b"4"), JobDone("job-0", 5, body=b"nobody heard it"))
    await until(lambda: ("job-3", 1) in replica.begun)
    await until(lambda: len(node.ended) == 2)
    assert {(one.job, one.epoch, one.body) for one in node.ended} == {
        ("job-1", 1, b"4"),
        ("job-0", 5, b"nobody heard it"),
    }
    assert [one.job for one in node.began] == ["job-1", "job-2", "job-3"], "those carried on do not begin anew"


async def test_a_new_keeper_ends_what_it_carried_on_in_time_too(node: Node) -> None:
    replica = await at_work(node, order())
    await node.kill()
    replica.held = [JobHeld("job-1", 1, 3)]
    node.start()
    await until(lambda: node.jobs.in_hand() == {"job-1": 1})
    node.replicas.want((wanted(),))
    await node.pass_(3 + int(OVERTIME_S) + 1)
    await until(lambda: not node.jobs.in_hand())
    assert [one.error.code for one in node.ended if one.error] == ["timed_out"]


async def test_a_replica_that_claims_jobs_without_end_is_believed_a_few(node: Node) -> None:
    replica = await node.ready()
    replica.say(*(JobHeld(f"job-{number}", 1, float("inf")) for number in range(500)))
    replica.say(Beat(ReplicaStatus.READY, served=7))
    known = node.replicas.replica(KEY, next(iter(node.played)))
    assert known is not None
    await until(lambda: known.served == 7)
    assert len(node.jobs.in_hand()) == pool.IN_HAND_MAX


async def test_ends_of_jobs_that_nobody_ordered_do_not_pile_up(node: Node) -> None:
    node.is_away = True
    replica = await node.ready()
    replica.say(*(JobDone(f"job-{number}", 1) for number in range(500)), Beat(ReplicaStatus.READY, served=7))
    known = node.replicas.replica(KEY, next(iter(node.played)))
    assert known is not None
    await until(lambda: known.served == 7)
    assert len(node.jobs.in_hand()) == pool.IN_HAND_MAX
    node.is_away = False
    async with asyncio.timeout(DEADLINE_S):
        while node.jobs.in_hand():
            await node.clock.advance(1)
            await asyncio.sleep(0.001)


async def test_what_a_replica_says_of_the_jobs_of_others_counts_for_nothing(node: Node) -> None:
    replica = await at_work(node, order())
    for message in (JobDone("job-1", 1, body=b"forged"), JobProgress("job-1", 1, 99), JobHeld("job-1", 2, 9)):
        node.jobs.on_message(("other", "1"), "other-1", message)
    assert node.jobs.in_hand() == {"job-1": 1}
    replica.say(JobDone("job-1", 1, body=b"4"))
    await until(lambda: not node.jobs.in_hand())
    assert [one.body for one in node.ended] == [b"4"]
    assert node.moved == []


@pytest.mark.parametrize("status", [ReplicaStatus.GONE, ReplicaStatus.CRASHED, ReplicaStatus.CRASH_LOOP])
async def test_a_replica_that_says_that_it_is_gone_and_lives_is_ended_and_counted(
    node: Node, status: ReplicaStatus
) -> None:
    replica, name = await node.ready(), next(iter(node.played))
    replica.say(Beat(status, "so long"))
    known = node.replicas.replica(KEY, name)
    assert known is not None
    await until(lambda: known.has_told)
    async with asyncio.timeout(DEADLINE_S):
        while ("stop", name) not in node.engine.said:
            await node.clock.advance(1)
            node.replicas.nudge()
            await asyncio.sleep(0.001)
    assert known.status is ReplicaStatus.CRASHED


async def test_a_keeper_that_was_held_up_blames_no_replica(node: Node) -> None:
    await node.ready()
    name = next(iter(node.played))
    known = node.replicas.replica(KEY, name)
    assert known is not None
    assert known.beat is not None
    heard = known.beat
    await node.clock.advance(60)
    node.replicas.nudge()
    await until(lambda: known.beat is not None and known.beat >= heard + 59)
    assert known.status is ReplicaStatus.READY
    assert [one for one in node.engine.said if one[0] == "stop"] == []


async def test_a_look_that_fails_lets_go_of_no_replica(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    await node.ready()
    observe, failures = node.engine.observe, iter(range(3))

    def failing() -> object:
        if next(failures, None) is not None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return observe()

    monkeypatch.setattr(node.engine, "observe", failing)
    async with asyncio.timeout(DEADLINE_S):
        while next(failures, None) is not None:
            node.replicas.nudge()
            await asyncio.sleep(0.001)
    assert not any(task.done() for task in node._tasks)
    assert node.replicas.link_for_job(KEY) is not None


async def test_a_loop_that_begins_again_follows_the_replicas_it_had(node: Node) -> None:
    replica = await node.ready()
    for task in node._tasks[:1]:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    before = replica._writer
    node._tasks[0] = asyncio.create_task(node.replicas.run())
    await until(lambda: replica._writer is not before)
    await until(lambda: node.replicas.link_for_job(KEY) is not None)
    await at_work(node, order())
    assert list(node.played) == [one for verb, one in node.engine.said if verb == "start"]


async def test_a_job_that_may_have_ended_its_replica_is_alone_on_the_next(node: Node) -> None:
    replica = await at_work(node, order("job-1"))
    await node.jobs.take(order("job-2", 2, alone=True))
    await node.jobs.take(order("job-3"))
    node.jobs.nudge()
    for _ in range(20):
        await asyncio.sleep(0)
    assert replica.begun == [("job-1", 1)]
    replica.say(JobDone("job-1", 1, body=b"4"))
    await until(lambda: ("job-2", 2) in replica.begun)
    for _ in range(20):
        await asyncio.sleep(0)
    assert ("job-3", 1) not in replica.begun
    replica.say(JobDone("job-2", 2, body=b"4"))
    await until(lambda: ("job-3", 1) in replica.begun)
    replica.say(JobDone("job-3", 1, body=b"4"))
    await until(lambda: not node.jobs.in_hand())


async def test_orders_of_batch_stand_behind_all_others(node: Node) -> None:
    replica = await at_work(node, order("job-0"))
    for name, priority in (("b1", "batch"), ("n1", "normal"), ("b2", "batch"), ("n2", "normal")):
        await node.jobs.take(order(f"job-{name}", priority=priority))
    replica.say(JobDone("job-0", 1, body=b"4"))
    for name in ("n1", "n2", "b1", "b2"):
        await until(lambda name=name: (f"job-{name}", 1) in replica.begun)  # type: ignore[misc]
        replica.say(JobDone(f"job-{name}", 1, body=b"4"))
    await until(lambda: not node.jobs.in_hand())
    assert [job for job, _ in replica.begun] == ["job-0", "job-n1", "job-n2", "job-b1", "job-b2"]
