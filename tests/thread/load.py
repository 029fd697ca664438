"""Bounded load on a platform where every call, job and reading is counted by its number, and what became of it."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import paho.mqtt.client as mqtt
from tests.thread.load_deploy import ECHO, METER, deploy, seen
from tests.thread.rig import Platform, until

SETTLED_S = 150.0
"""Longest wait for the last accepted job: the lease of one that was in hand when its keeper died is 30 s."""


@dataclass(frozen=True)
class Rates:
    """How much there is of what."""

    calls_per_s: float = 40.0
    callers: int = 12
    """Threads that call; one that still waits for an answer misses its turn."""
    jobs_per_s: float = 5.0
    readings_per_s: float = 5.0


@dataclass(frozen=True)
class Call:
    """One prediction: when it was sent, how long it took, what came; ``status`` 0: no answer at all."""

    number: int
    sent: float
    took_s: float
    status: int
    pid: int
    said: str

    @property
    def is_good(self) -> bool:
        return self.status == 200


@dataclass
class Load:
    """Predictions, jobs and readings at steady rates, in threads, until :meth:`stop`."""

    platform: Platform
    password: str
    rates: Rates = Rates()
    calls: list[Call] = field(default_factory=list)
    accepted: dict[str, int] = field(default_factory=dict)
    """Number by id of every job that got its 202."""
    readings: dict[int, float] = field(default_factory=dict)
    """When a reading was sent, by number."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._over = threading.Event()
        self.token = self.platform.token
        work = [self._call] * self.rates.callers + [self._submit] * 2 + [self._measure]
        self._threads = [threading.Thread(target=each, daemon=True) for each in work]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the load; what is under way ends first."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a call of the load never ended"

    def since(self, moment: float) -> list[Call]:
        """Return the calls sent after ``moment`` (monotonic) that have ended."""
        return [call for call in list(self.calls) if call.sent >= moment]

    def last(self, seconds: float) -> list[Call]:
        return self.since(time.monotonic() - seconds)

    def failed(self, since: float = 0) -> list[Call]:
        return [call for call in self.since(since) if not call.is_good]

    def pids(self, since: float) -> set[int]:
        """Return who answered the calls sent after ``since``."""
        return {call.pid for call in self.since(since) if call.is_good}

    def steady(self, seconds: float = 1.0) -> float:
        """Wait until everything goes well for ``seconds``, and return when that began."""
        began = time.monotonic()

        def is_steady() -> bool:
            nonlocal began
            now = time.monotonic()
            failed = self.failed(began)
            if failed:
                began = failed[-1].sent + 0.001
                return False
            busy = len(self.since(began)) >= self.rates.calls_per_s * seconds / 2
            return now - began >= seconds and busy

        until(is_steady, "calls are answered without a failure", 60)
        return began

    # --- threads ------------------------------------------------------------------------------------------------------

    def _paced(self, per_s: float) -> Iterator[int]:
        """Yield a number each time one is due; what was missed while the last call hung is not made up for."""
        if per_s <= 0:
            return
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            yield next(self._numbers)
            due = max(due + 1 / per_s, time.monotonic() - 1 / per_s)

    def _call(self) -> None:
        with self.platform.client(self.token, timeout_s=45) as client:
            for number in self._paced(self.rates.calls_per_s / self.rates.callers):
                sent = time.monotonic()
                status, pid, said = _predict(client, number)
                self.calls.append(Call(number, sent, time.monotonic() - sent, status, pid, said))

    def _submit(self) -> None:
        """Submit until it is accepted, always under the same key: so a lost 202 makes no second job."""
        with self.platform.client(self.token, timeout_s=45) as client:
            for number in self._paced(self.rates.jobs_per_s / 2):
                headers = {"Idempotency-Key": f"job-{number}"}
                while not self._over.is_set():
                    try:
                        answer = client.post(f"/v1/models/{ECHO}/jobs", json={"n": number}, headers=headers)
                    except httpx.TransportError:
                        answer = None
                    if answer is not None and answer.status_code == 202:
                        self.accepted[answer.json()["id"]] = number
                        break
                    assert answer is None or answer.status_code in (500, 502, 503, 504), answer.text
                    self._over.wait(0.1)

    def _measure(self) -> None:
        """Be a device that counts."""
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=METER)
        client.username_pw_set(METER, self.password)
        client.reconnect_delay_set(1, 1)
        client.connect_async("127.0.0.1", self.platform.mqtt, keepalive=5)
        client.loop_start()
        for number in self._paced(self.rates.readings_per_s):
            if client.is_connected():
                client.publish(f"dev/{METER}/state/count", str(number), qos=0)
                self.readings[number] = time.monotonic()
        client.disconnect()
        client.loop_stop()


def _predict(client: httpx.Client, number: int) -> tuple[int, int, str]:
    """Return status, pid of the replica and what was wrong."""
    try:
        answer = client.post(f"/v1/models/{ECHO}/predict", json={"n": number})
    except httpx.TransportError as error:
        return 0, 0, f"{type(error).__name__}: {error}"
    if answer.status_code != 200:
        return answer.status_code, 0, answer.text
    body = answer.json()
    assert body["n"] == number, f"asked {number}, got {body}"
    return 200, body["pid"], ""


@contextmanager
def under_load(platform: Platform, folder: Path, rates: Rates = Rates(), most: int = 4) -> Iterator[Load]:
    """Yield the load on a platform that is up and has everything deployed: ``ECHO`` with up to ``most`` replicas."""
    load = Load(platform, deploy(platform, folder, most), rates)
    try:
        load.steady()
        until(lambda: seen(platform), "readings reach the app")
        yield load
    finally:
        load.stop()


# --- what is left in the end ----------------------------------------------------------------------------------------------


def check_jobs(platform: Platform, accepted: dict[str, int]) -> Counter[str]:
    """Wait until every accepted job has ended and check its result; return how many took how many attempts."""
    waiting, attempts = dict(accepted), Counter[str]()
    with platform.client() as client:

        def all_ended() -> bool:
            for job, number in list(waiting.items()):
                answer = client.get(f"/api/v1/jobs/{job}")
                assert answer.status_code == 200, (job, answer.text)
                view = answer.json()
                if view["status"] in ("queued", "running"):
                    return False
                assert view["status"] == "succeeded", view
                assert client.get(f"/api/v1/jobs/{job}/result").json()["n"] == number, view
                attempts[f"{view['attempts']} attempts"] += 1
                del waiting[job]
            return True

        until(all_ended, "every accepted job ended", SETTLED_S)
    return attempts


def check_ledger(platform: Platform, accepted: Iterable[str]) -> None:
    """Every accepted job moved into a final state exactly once, and there is no job that nobody knows of."""
    file = platform.home / "fairlead.sqlite3"
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as ledger:
        ended = Counter(
            ref
            for (ref,) in ledger.execute(
                "select ref from events where kind = 'job' and status_to in ('succeeded', 'failed', 'canceled')"
            )
        )
        known = {job for (job,) in ledger.execute("select id from jobs where model = ?", (ECHO,))}
    accepted = set(accepted)
    assert accepted <= known, f"lost: {accepted - known}"
    twice = {job: count for job, count in ended.items() if job in known and count != 1}
    assert not twice, f"ended more than once: {twice}"
    assert accepted <= ended.keys(), f"never ended: {accepted - ended.keys()}"


def check_gone(platform: Platform) -> None:
    """Nothing of an installation that is down is left but its home."""
    assert platform.leftovers() == []
    assert platform.pids() == {}
    from fairlead.settings import Home

    run = Home(platform.home).run
    sockets = [str(path) for path in run.rglob("*") if path.is_socket()] if run.exists() else []
    assert [path for path in sockets if _listens(path)] == []


def _listens(path: str) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def kill(pid: int, number: int = 9) -> float:
    """Send a signal and return the moment (monotonic)."""
    assert pid > 0
    moment = time.monotonic()
    os.kill(pid, number)
    return moment


def after(moment: float, look: Callable[[], object], what: str, timeout_s: float) -> float:
    """Wait for ``look`` and return how many seconds after ``moment`` it came true."""
    until(look, what, timeout_s, every_s=0.02)
    return time.monotonic() - moment


def records(platform: Platform) -> list[dict[str, object]]:
    """Return the records of all children."""
    found = []
    for file in (platform.home / "children").glob("*.json"):
        try:
            found.append(json.loads(file.read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            continue
    return found


def is_of(record: dict[str, object], kind: str, model: str) -> bool:
    """Whether a record is of a replica or zygote of a model."""
    labels = record["labels"]
    assert isinstance(labels, dict)
    return labels.get("kind") == kind and labels.get("model") == model


def pid(record: dict[str, object]) -> int:
    return int(str(record["pid"]))


def starts(platform: Platform, model: str) -> int:
    """Return how many replicas of a model were ever forked: each has a log of its own."""
    return len(list((platform.home / "logs").glob(f"{model}-*/[0-9a-f]*.log")))
