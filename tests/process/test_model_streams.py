"""Models that answer in pieces: as server-sent events, as a list, slowly, wrongly and for callers that leave."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from tests.process.test_front_door import build, model
from tests.process.test_model_server import DEADLINE_S, GATE, Replica, spec_of, wait_for

import fairlead
from fairlead.gateway import DoorState
from fairlead.messages import Drain, JobPartial, JobStart, Target
from fairlead.modelserver.protocols.paced import STREAMS_MAX
from fairlead.modelserver.streams import _ALIVE_S
from fairlead.status import ReplicaStatus

EVENTS = {"accept": "text/event-stream"}
MODEL = """
import asyncio, time
from collections.abc import AsyncIterator, Iterator
import fairlead

class M(fairlead.Model):
    def predict(self, text: str, fail: int = -1, s: float = 0) -> Iterator[str]:
        if text == "wrong": raise fairlead.InvalidInput("is wrong", "text")
        for index, word in enumerate(text.split()):
            if index == fail: raise RuntimeError("out of words")
            yield word
            time.sleep(s)
    async def count(self, n: int) -> AsyncIterator[dict]:
        for number in range(n):
            yield {"number": number}
            await asyncio.sleep(0)
    def endless(self, name: str) -> Iterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            (self.folder / name).touch()
    def flood(self, name: str, pieces: int) -> Iterator[str]:
        for number in range(pieces):
            (self.folder / name).write_text(str(number))
            yield "x" * 1_000_000
    def large(self) -> Iterator[str]:
        while True: yield "x" * 1_000_000
    def gate(self) -> Iterator[str]:
        yield "first"
        while not (self.folder / "go").exists(): time.sleep(0.01)
        yield "last"
"""


@pytest.fixture
def replica() -> Iterator[Replica]:
    made = Replica(MODEL, spec_of(concurrency=2, timeout_s=20))
    made.keeper.status(ReplicaStatus.READY)
    yield made
    made.end()


def events(response: httpx.Response) -> list[tuple[str, Any]]:
    """Return name and value of each event of a finished stream."""
    found, name = [], "message"
    for line in response.text.splitlines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            found.append((name, json.loads(line[6:])))
            name = "message"
    return found


def test_pieces_are_events_or_a_list_as_the_caller_accepts(replica: Replica) -> None:
    streamed = replica.call("predict", {"text": "one two"}, headers=EVENTS | {"x-request-id": "req-1"})
    assert (streamed.status_code, streamed.headers["content-type"]) == (200, "text/event-stream")
    assert (streamed.headers["x-fairlead-version"], streamed.headers["x-request-id"]) == ("7", "req-1")
    assert events(streamed) == [("message", "one"), ("message", "two"), ("done", {"pieces": 2})]
    assert replica.call("predict", {"text": "one two"}).json() == ["one", "two"]
    assert replica.call("predict", [{"text": "a b"}, {"text": "c"}]).json() == [["a", "b"], ["c"]]
    assert [value for _, value in events(replica.call("count", {"n": 300}, headers=EVENTS))][298:] == [
        {"number": 298},
        {"number": 299},
        {"pieces": 300},
    ]
    assert replica.call("count", {"n": 2}).json() == [{"number": 0}, {"number": 1}]
    assert events(replica.call("predict", {"text": ""}, headers=EVENTS)) == [("done", {"pieces": 0})]


def test_a_stream_that_fails_says_so_by_status_or_by_event(replica: Replica) -> None:
    assert replica.call("predict", {"text": "a", "fail": 0}, headers=EVENTS).status_code == 500
    assert replica.call("predict", {"text": "wrong"}, headers=EVENTS).status_code == 422
    assert replica.call("predict", {}, headers=EVENTS).status_code == 422
    assert replica.call("predict", [{"text": "a"}], headers=EVENTS).json()["error"]["code"] == "stream_of_many"
    first, last = events(replica.call("predict", {"text": "a b", "fail": 1}, headers=EVENTS))
    assert first == ("message", "a")
    assert (last[0], last[1]["error"]["code"]) == ("error", "model_failed")
    soon = [*EVENTS.items(), ("prefer", "handling=strict"), ("prefer", "wait=0.4")]
    late = events(replica.call("predict", {"text": "a b c", "s": 0.3}, headers=soon))
    assert (late[0], late[-1][0], late[-1][1]["error"]["code"]) == (("message", "a"), "error", "timed_out")


def test_a_caller_that_leaves_ends_the_generator(replica: Replica) -> None:
    body = {"name": "left"}
    with replica.http.stream("POST", "/v1/models/m/endless", json=body, headers=EVENTS) as response:
        assert next(response.iter_lines()) == "data: 0"
    wait_for((replica.folder / "left").exists)
    assert replica.call("predict", {"text": "ok"}).json() == ["ok"]


def test_a_caller_that_does_not_read_holds_the_generator_up(replica: Replica) -> None:
    """Pieces wait for their reader: in the generator, not in the replica's memory."""
    made = replica.folder / "flood"
    with replica.http.stream("POST", "/v1/models/m/flood", json={"name": "flood", "pieces": 2000}, headers=EVENTS):
        wait_for(lambda: made.exists() and made.read_text() not in ("", "0"))
        last = ""
        while last != made.read_text():  # until it stands still for as long as twenty other calls take
            last = made.read_text()
            assert [replica.call("predict", {"text": "ok"}).json() for _ in range(20)] == [["ok"]] * 20
        assert int(last) < 100
    assert replica.call("predict", {"text": "ok"}).json() == ["ok"]


def test_all_of_a_long_stream_arrives(replica: Replica) -> None:
    found = events(replica.call("flood", {"name": "whole", "pieces": 60}, headers=EVENTS | {"prefer": "wait=60"}))
    assert found[-1] == ("done", {"pieces": 60})
    assert all(value == "x" * 1_000_000 for _, value in found[:-1])


def test_what_is_too_long_for_a_list_is_refused(replica: Replica) -> None:
    refused = replica.call("large", {})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "stream_too_long")


def test_a_drain_waits_for_the_end_of_a_stream(replica: Replica) -> None:
    with replica.http.stream("POST", "/v1/models/m/gate", json={}, headers=EVENTS) as response:
        lines = response.iter_lines()
        assert next(lines) == 'data: "first"'
        replica.keeper.send(Drain(grace_s=20))
        replica.keeper.status(ReplicaStatus.DRAINING)
        (replica.folder / "go").touch()
        assert [line for line in lines if line][-2:] == ["event: done", 'data: {"pieces":2}']
    assert replica.process.wait(20) == 0


def test_a_job_of_a_generator_has_the_list_as_its_result(replica: Replica) -> None:
    replica.keeper.send(JobStart("job-1", 1, "count", b'{"n": 2}', "application/json", "*/*", "ada", 20))
    told = replica.keeper.until(lambda message: isinstance(message, JobPartial))
    assert (told.job, told.epoch, told.first, told.pieces[0]) == ("job-1", 1, 0, b'{"number":0}')
    assert json.loads(replica.keeper.done("job-1").body) == [{"number": 0}, {"number": 1}]


def test_openapi_tells_of_the_stream(replica: Replica) -> None:
    answer = replica.http.get("/v1/models/m/openapi.json").json()["paths"]["/v1/models/m/predict"]["post"]["responses"]
    content = answer["200"]["content"]
    assert content["text/event-stream"]["schema"] == {"type": "string"}
    one, _ = content["application/json"]["schema"]["anyOf"]
    assert one == {"type": "array", "items": {"type": "string"}}


def test_pieces_come_through_the_front_door_as_they_are_made(replica: Replica) -> None:
    with ExitStack() as stack:
        house = build(stack)
        house.state = DoorState(
            jwks=house.keys.jwks(),
            routes=(model("m", targets={"production": (Target("7"),)}, versions=("7",), entries=("gate",)),),
            endpoints={"m@7": (replica.fork.serve,)},
            gates={"m@7": GATE},
        )
        house.start()
        headers = EVENTS | {"authorization": f"Bearer {house.token()}"}
        client = stack.enter_context(httpx.Client(base_url=house.door.url, headers=headers, timeout=30))
        with client.stream("POST", "/v1/models/m/gate", json={}) as response:
            lines = response.iter_lines()
            assert next(lines) == 'data: "first"'  # the model makes no other before it is told to
            (replica.folder / "go").touch()
            assert [line for line in lines if line] == ['data: "last"', "event: done", 'data: {"pieces":2}']
        with fairlead.Client(house.door.url, house.token()) as called:
            assert list(called.model("m").stream(text="a b c")) == ["a", "b", "c"]


IDLE = """
import asyncio
from collections.abc import AsyncIterator
import fairlead

class M(fairlead.Model):
    async def predict(self, n: int) -> int:
        return n
    async def idle(self) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(600)
"""
MANY = 300
"""More than a replica takes at once, and more than fit into its threads."""


def test_idle_streams_leave_plain_calls_alone_and_there_are_only_so_many() -> None:
    replica = Replica(IDLE, spec_of(concurrency=MANY + 20, timeout_s=300))
    with ExitStack() as stack:
        stack.callback(replica.end)
        replica.keeper.status(ReplicaStatus.READY)
        streams = [open_stream(stack, replica) for _ in range(MANY)]
        answers = [first_of(stream) for stream in streams]

        assert sum(b" 200 " in answer and b"data: 1" in answer for answer in answers) == STREAMS_MAX
        refused = [answer for answer in answers if b" 429 " in answer]
        assert len(refused) == MANY - STREAMS_MAX
        assert all(b"streams_full" in answer and re.search(rb"retry-after: [12]\r", answer) for answer in refused)
        assert [replica.call("predict", {"n": n}, timeout=5).json() for n in range(100)] == list(range(100))


def test_a_stream_whose_reader_has_left_makes_room_at_once_for_the_next() -> None:
    """Long before the comment that keeps idle streams alive."""
    replica = Replica(IDLE, spec_of(concurrency=MANY + 20, timeout_s=300))
    with ExitStack() as stack:
        stack.callback(replica.end)
        replica.keeper.status(ReplicaStatus.READY)
        streams = [open_stream(stack, replica) for _ in range(STREAMS_MAX)]
        assert all(b"data: 1" in first_of(stream) for stream in streams)
        began = time.monotonic()
        for stream in streams[:20]:
            stream.close()
        heard = [b""] * 20
        for number in range(20):
            while b"data: 1" not in heard[number]:
                assert time.monotonic() - began < _ALIVE_S / 2, "it was waited for the comment"
                heard[number] = first_of(open_stream(stack, replica))
        assert b" 429 " in first_of(open_stream(stack, replica)), "no more than may be"
        streams[-1].setblocking(False)
        assert set(streams[-1].recv(65_536).replace(b"\r\n", b"").split(b":\n\n")) <= {b"", b"3"}, "who reads stays"


def open_stream(stack: ExitStack, replica: Replica) -> socket.socket:
    stream = stack.enter_context(socket.socket(socket.AF_UNIX))
    stream.settimeout(DEADLINE_S)
    stream.connect(replica.fork.serve)
    head = f"POST /v1/models/m/idle HTTP/1.1\r\nhost: r\r\nx-fairlead-gate: {GATE}\r\ncontent-length: 2\r\n"
    stream.sendall(f"{head}accept: text/event-stream\r\n\r\n{{}}".encode())
    return stream


def first_of(stream: socket.socket) -> bytes:
    """Return an answer up to its first piece, or all of a refusal."""
    heard = b""
    while b"data: 1" not in heard and not (b" 429 " in heard and heard.endswith(b"}")):
        part = stream.recv(65_536)
        if not part:
            break
        heard += part
    return heard
