"""Versions of one model that come, fail, share and go back while clients of HTTP/1.1 and HTTP/2 ask all the time.

Every answer names the version that made it, and each version has windows in which it may answer: from the begin of the
command that led calls to it until the command that led them away has ended. No client asks twice: what is lost is seen.
"""

from __future__ import annotations

import http.client
import itertools
import json
import math
import random
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.thread import kit
from tests.thread.promises import SLACK
from tests.thread.rig import Platform, until

GRACE_S = 0.25 * SLACK
"""After a command said that it is done: calls that are on their way to the version before."""
ANSWER_S = 60.0
GOOD = """
import asyncio

import fairlead


class M(fairlead.Model):
    async def predict(self) -> int:
        await asyncio.sleep(0.01)
        return {number}
"""
_AT_LOAD = GOOD + "\n    def load(self) -> None:\n        {trouble}\n"
_IN_SERVICE = "import os, time\n        if 'FAIRLEAD_INSPECT' not in os.environ: "
EXAMPLE = '[[examples]]\ntitle = "Another"\ninput = {}\nexpect = -1\n'
BAD = {
    "raises at import": (GOOD + "\nraise RuntimeError('upside down')\n", "", ""),
    "ends at load": (_AT_LOAD.replace("{trouble}", "import os; os._exit(3)"), "", ""),
    "hangs once it serves": (_AT_LOAD.replace("{trouble}", _IN_SERVICE + "time.sleep(600)"), "start_timeout_s = 4", ""),
    "is killed once it serves": (_AT_LOAD.replace("{trouble}", _IN_SERVICE + "os.kill(os.getpid(), 9)"), "", ""),
    "fails its example": (GOOD, "", EXAMPLE),
}
"""Bundles that must never answer: code, more of ``[run]``, examples."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One call; ``number`` is that of the version which answered, None where it was no answer of the model."""

    protocol: str
    sent: float
    received: float
    status: int
    number: int | None
    said: str = ""


class Client(Protocol):
    """A connection on which calls are made, ``together`` at a time."""

    together: int

    def ask(self, count: int) -> list[tuple[int, bytes]]:
        """Return status and body of ``count`` calls; raises ``OSError`` and ``http.client.HTTPException``."""

    def close(self) -> None: ...


class Http1:
    """One kept connection of HTTP/1.1."""

    together = 1

    def __init__(self, port: int, path: str, token: str) -> None:
        self._path, self._headers = path, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        self._connection.connect()
        self._connection.auto_open = 0  # a connection that the front door closes is a fault

    def ask(self, count: int) -> list[tuple[int, bytes]]:
        self._connection.request("POST", self._path, b"{}", self._headers)
        answer = self._connection.getresponse()
        return [(answer.status, answer.read())]

    def close(self) -> None:
        self._connection.close()


class Http2:
    """One kept connection of HTTP/2 without TLS (RFC 9113, prior knowledge), with some calls at once on it."""

    together = 4
    _PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    _DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
    _END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
    _OK = 0x88
    """``:status: 200`` as an indexed field (RFC 7541, appendix A)."""

    def __init__(self, port: int, path: str, token: str) -> None:
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": f"127.0.0.1:{port}",
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
        }
        self._fields = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
        self._streams = itertools.count(1, 2)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")
        no_table = struct.pack(">HI", 1, 0)  # header fields of answers refer to no earlier ones
        opened = _frame(self._SETTINGS, 0, 0, no_table) + _frame(self._WINDOW, 0, 0, struct.pack(">I", 1 << 30))
        self._socket.sendall(self._PREFACE + opened)

    def ask(self, count: int) -> list[tuple[int, bytes]]:
        streams = list(itertools.islice(self._streams, count))
        for stream in streams:
            head = _frame(self._HEADERS, self._END_HEADERS, stream, self._fields)
            self._socket.sendall(head + _frame(self._DATA, self._END_STREAM, stream, b"{}"))
        status, bodies, open_streams = dict.fromkeys(streams, 0), dict.fromkeys(streams, b""), set(streams)
        while open_streams:
            kind, flags, stream, payload = self._read()
            if stream not in status:
                self._take(kind, flags, payload)
                continue
            if kind == self._RESET:
                bodies[stream] += b"the stream was reset: %d" % int.from_bytes(payload, "big")
            elif kind == self._HEADERS and not status[stream]:
                status[stream] = 200 if payload.lstrip(b"\x20")[:1] == bytes([self._OK]) else 1
            elif kind == self._DATA:
                bodies[stream] += payload
            if kind == self._RESET or (kind in (self._DATA, self._HEADERS) and flags & self._END_STREAM):
                open_streams.discard(stream)
        return [(status[stream], bodies[stream]) for stream in streams]

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def _read(self) -> tuple[int, int, int, bytes]:
        head = self._reader.read(9)
        if len(head) < 9:
            raise ConnectionResetError("the front door closed the connection")
        length, kind, flags, stream = int.from_bytes(head[:3], "big"), head[3], head[4], head[5:]
        return kind, flags, int.from_bytes(stream, "big") & 0x7FFFFFFF, self._reader.read(length)

    def _take(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == self._GOAWAY:
            raise ConnectionResetError(f"the front door ends the connection: {payload!r}")
        if kind == self._SETTINGS and not flags & self._ACK:
            self._socket.sendall(_frame(self._SETTINGS, self._ACK, 0, b""))
        if kind == self._PING and not flags & self._ACK:
            self._socket.sendall(_frame(self._PING, self._ACK, 0, payload))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _text(text: str) -> bytes:
    """Return a text as HPACK has it, not packed (RFC 7541, §5.2)."""
    raw, left = text.encode(), len(text)
    if left < 127:
        return bytes([left]) + raw
    size, left = bytearray([127]), left - 127
    while left >= 128:
        size.append(left % 128 + 128)
        left //= 128
    return bytes(size) + bytes([left]) + raw


class Callers:
    """Clients of both protocols that ask one model at a steady rate until :meth:`stop`."""

    def __init__(self, house: Platform, model: str, per_s: float, kinds: dict[type[Client], int]) -> None:
        self.answers: deque[Answer] = deque()
        self.latest: dict[int, float] = {}
        """When a call was sent that a version answered last."""
        self._over = threading.Event()
        self._where = (house.port, f"/v1/models/{model}/predict", house.token)
        chosen = [kind for kind, count in kinds.items() for _ in range(count)]
        share = per_s / sum(kind.together for kind in chosen)
        self._threads = [threading.Thread(target=self._ask, args=(kind, share), daemon=True) for kind in chosen]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the calls; those under way are answered first."""
        self._over.set()
        for thread in self._threads:
            thread.join(2 * ANSWER_S)
            assert not thread.is_alive(), "a call never ended"

    def reached(self, count: int, why: str, timeout_s: float = 600) -> None:
        """Return once ``count`` calls were answered in all."""
        until(lambda: len(self.answers) >= count, f"{count} calls, {why}", timeout_s)

    def _ask(self, kind: type[Client], per_s: float) -> None:
        due = time.monotonic()
        client: Client | None = None
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / per_s, time.monotonic() - 1 / per_s)
            sent = time.monotonic()
            try:
                client = client or kind(*self._where)
                found = client.ask(client.together)
            except (OSError, http.client.HTTPException) as error:
                found, client = [(0, repr(error).encode())], None
            now = time.monotonic()
            answers = [_answer(kind.__name__, sent, now, status, body) for status, body in found]
            self.answers.extend(answers)
            self.latest.update((one.number, one.sent) for one in answers if one.number is not None)
        if client is not None:
            client.close()


def _answer(protocol: str, sent: float, received: float, status: int, body: bytes) -> Answer:
    try:
        number = json.loads(body) if status == 200 else None
    except ValueError:
        number = None
    return Answer(protocol, sent, received, status, number, "" if isinstance(number, int) else repr(body[:300]))


@contextmanager
def asked(house: Platform, model: str, per_s: float, http1: int = 4, http2: int = 2) -> Iterator[Callers]:
    """Have ``model`` called while the block runs, by so many connections of each protocol."""
    callers = Callers(house, model, per_s, {Http1: http1, Http2: http2})
    try:
        yield callers
    finally:
        callers.stop()


@dataclass
class Course:
    """The versions of one model, as commands change them; the number of a version is what it answers."""

    house: Platform
    folder: Path
    random: random.Random
    windows: dict[int, list[list[float]]] = field(default_factory=dict)
    """When each version might answer: pairs of begin and end."""
    holds: frozenset[int] = frozenset()
    """What ``production`` names."""
    latest: dict[int, float] | None = None
    """When a call was sent that a version answered last; None: nobody calls."""
    bad: set[int] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)

    @property
    def model(self) -> str:
        return self.folder.name

    @contextmanager
    def change(self, to: Collection[int], also: Collection[int] = ()) -> Iterator[None]:
        """Have a command in the block lead calls to the versions ``to``; those of ``also`` may answer meanwhile.

        Once it is over, each of ``to`` answers: what is done is in force.
        """
        began, before = time.monotonic(), self.holds
        for number in {*to, *also} - before:
            self.windows.setdefault(number, []).append([began, math.inf])
        yield
        self.holds, ended = frozenset(to), time.monotonic() + GRACE_S
        for number in (before | set(also)) - self.holds:
            self.windows[number][-1][1] = ended
        if (latest := self.latest) is not None:
            until(lambda: all(latest.get(number, 0) > ended for number in to), f"{sorted(to)} answer")

    def begin(self) -> None:
        """Push the first version."""
        number = self._write(GOOD)
        with self.change({number}):
            self._push()

    def good(self) -> None:
        """Push a version that takes production."""
        number = self._write(GOOD)
        with self.change({number}):
            self._push()

    def shared(self) -> None:
        """Push a version beside, give it a share of the calls, then all of them."""
        (before,) = self.holds
        number = self._write(GOOD)
        self._push("--alias", "next")
        share = self.random.randint(10, 90)
        with self.change({before, number}):
            self._alias(f"{self._name(number)}:{share},{self._name(before)}:{100 - share}")
        with self.change({number}):
            self._alias(self._name(number))

    def overtaken(self) -> None:
        """Push a version while the one before is still on its way: the later wish holds."""
        first = self._write(GOOD)
        self._push("--no-wait")
        second = self._write(GOOD)
        with self.change({second}, also={first}):
            self._push()

    def rolled_back(self) -> None:
        """Push a version and go back to what production held before."""
        before = self.holds
        number = self._write(GOOD)
        with self.change({number}):
            self._push()
        with self.change(before):
            self.house.ok("models", "rollback", self.model)

    def put_back(self) -> None:
        """Push a version and have the alias name the one before again."""
        (before,) = self.holds
        number = self._write(GOOD)
        with self.change({number}):
            self._push()
        with self.change({before}):
            self._alias(self._name(before))

    def share_withdrawn(self) -> None:
        """Push a version beside, give it a share of the calls, and take it back."""
        (before,) = self.holds
        number = self._write(GOOD)
        self._push("--alias", "next")
        with self.change({before, number}):
            self._alias(f"{self._name(number)}:20,{self._name(before)}:80")
        with self.change({before}):
            self.house.ok("models", "rollback", self.model)

    def failing(self, kind: str) -> None:
        """Push a version that does not start: the command says so, and production stays."""
        code, more, examples = BAD[kind]
        self.bad.add(self._write(code, more, examples))
        done = self.house.cli("push", str(self.folder))
        assert (done.returncode, done.stdout) == (1, ""), (kind, done.stdout, done.stderr)
        assert f"error: {self.model}@{self._name(self._count)} failed" in done.stderr, done.stderr

    def wrong(self, answers: Collection[Answer]) -> list[Answer]:
        """Return the calls that failed, or that a version answered which was not in force then."""
        return [one for one in answers if not self._is_right(one)]

    def _is_right(self, one: Answer) -> bool:
        if one.status != 200 or one.number is None:
            return False
        return any(begin <= one.received and one.sent <= end for begin, end in self.windows.get(one.number, ()))

    # --- commands -----------------------------------------------------------------------------------------------------

    def __post_init__(self) -> None:
        self._count = 0

    def _name(self, number: int) -> str:
        return f"1.0.{number}"

    def _write(self, code: str, more: str = "", examples: str = "") -> int:
        self._count += 1
        code = code.replace("{number}", str(self._count))
        kit.model(
            self.folder,
            code,
            f"{more}\n[scale]\nconcurrency = 32\n",
            version=self._name(self._count),
            examples=examples,
        )
        return self._count

    def _push(self, *arguments: str) -> None:
        self.house.ok("push", str(self.folder), *arguments)

    def _alias(self, targets: str) -> None:
        self.house.ok("models", "alias", self.model, f"production={targets}")


def steps(course: Course, *, good: int, bad: int, back: int) -> list[tuple[str, Callable[[], None]]]:
    """Return so many rollouts of each kind, in an order by chance."""
    ways_up = itertools.cycle((course.good, course.shared, course.good, course.overtaken))
    ways_back = itertools.cycle((course.rolled_back, course.put_back, course.share_withdrawn))
    found = [(way.__name__, way) for way in itertools.islice(ways_up, good)]
    found += [(way.__name__, way) for way in itertools.islice(ways_back, back)]
    kinds = itertools.islice(itertools.cycle(BAD), bad)
    found += [(kind, lambda kind=kind: course.failing(kind)) for kind in kinds]  # type: ignore[misc]
    course.random.shuffle(found)
    return found


def walk(course: Course, callers: Callers, plan: list[tuple[str, Callable[[], None]]], calls: int) -> None:
    """Take every step of ``plan``, spread over so many calls."""
    course.latest = callers.latest
    for index, (name, step) in enumerate(plan, 1):
        step()
        print(f"{index}. {name}: production is {sorted(course.holds)}, {len(callers.answers)} calls", flush=True)
        callers.reached(calls * index // len(plan), name)


def report(course: Course, answers: Collection[Answer], seed: int) -> str:
    """Return what was seen in one line."""
    took = sorted(one.received - one.sent for one in answers)
    by = Counter(one.protocol for one in answers)
    share = lambda part: f"{took[min(len(took) - 1, int(len(took) * part))] * 1000:.0f} ms"  # noqa: E731
    return (
        f"{len(answers)} calls ({', '.join(f'{count} by {name}' for name, count in sorted(by.items()))}) to"
        f" {len({one.number for one in answers})} versions, {len(course.wrong(answers))} wrong;"
        f" p50 {share(0.5)}, p99 {share(0.99)}, worst {share(1)}; FAIRLEAD_SEED={seed}"
    )
