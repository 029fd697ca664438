"""Jobs at a steady rate, each under a key of its own; and what is found of them in the end: ledger and model's logs.

A job is due when it is due, whatever became of the earlier ones. Who submits insists until there is a 202. Of some keys
more is asked, by chance: the same once more, the same key for another call, to be canceled, to be followed to its end.
"""

from __future__ import annotations

import contextlib
import json
import queue
import random
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from tests.thread.load_deploy import ECHO
from tests.thread.rig import Platform

SUBMITTERS, FOLLOWERS = 16, 8
NAP_S, LONG_NAP_S, LONG_SHARE = 0.02, 1.0, 0.04
"""How long a job works; some work long enough to be in hand when something is hit."""
AGAIN_SHARE, OTHER_SHARE, CANCEL_SHARE, FOLLOW_SHARE = 0.10, 0.03, 0.03, 0.10
INSIST_S = 150.0
COMMIT_S = timedelta(seconds=5)
"""From the moment that an end is noted with until it is in the ledger, at most."""
_AWAY = (500, 502, 503, 504)
_FINAL = ("succeeded", "failed", "canceled")


@dataclass(slots=True)
class Asked:
    """What was asked under one key, and what was answered."""

    number: int
    due: float
    accepted: float = 0.0
    """When the 202 came (monotonic); 0: it never did."""
    jobs: set[str] = field(default_factory=set)
    """Ids that the answers named."""
    canceled: bool = False
    """It was asked to be canceled."""
    other_taken: str = ""
    """How the same key for another call was answered, if that was not 422."""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Ends that were told while all went on: status, and the effect in the result."""


@dataclass(frozen=True, slots=True)
class Row:
    """A job as the ledger has it in the end."""

    key: str
    job: str
    status: str
    reason: str
    number: int
    effect: str
    """Of its result; empty without one."""
    attempts: int
    created: float
    """Seconds since 1970."""
    finished: float
    ends: int
    """How often it came to an end."""


class Submitters:
    """Submits jobs for as long as the block runs, and then until all that were due have their 202."""

    def __init__(self, platform: Platform, token: str, per_s: float, seed: int) -> None:
        self.asked: dict[str, Asked] = {}
        self.statuses: Counter[int] = Counter()
        """Of all answers to a submission; 0: none came."""
        self._platform, self._token, self._per_s, self._seed = platform, token, per_s, seed
        self._due: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._more: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self._faults: list[str] = []
        self._pacing = threading.Thread(target=self._pace, daemon=True)
        self._submitters = self._crew(SUBMITTERS, self._submit_all)
        self._followers = self._crew(FOLLOWERS, self._follow_all)

    def __enter__(self) -> Submitters:
        for thread in (self._pacing, *self._submitters, *self._followers):
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pacing.join(30)
        for crew, work in ((self._submitters, self._due), (self._followers, self._more)):
            for _ in crew:
                work.put(None)
            for thread in crew:
                thread.join(INSIST_S)
                assert not thread.is_alive(), f"a submission never ended; {work.qsize()} wait, {dict(self.statuses)}"
        assert not self._faults, self._faults[:3]

    def _crew(self, count: int, work: Callable[[httpx.Client], None]) -> list[threading.Thread]:
        def guarded() -> None:
            with self._platform.client(self._token, timeout_s=45) as client:
                try:
                    work(client)
                except AssertionError as error:
                    self._faults.append(str(error))

        return [threading.Thread(target=guarded, daemon=True) for _ in range(count)]

    def _pace(self) -> None:
        due, number = time.monotonic(), 0
        while not self._over.wait(max(0.0, due - time.monotonic())):
            number += 1
            key = f"chaos-{self._seed}-{number}"
            self.asked[key] = Asked(number, due)
            self._due.put(key)
            due += 1 / self._per_s

    def _submit_all(self, client: httpx.Client) -> None:
        while (key := self._due.get()) is not None:
            asked = self.asked[key]
            answer = self._insist(lambda key=key: self._post(client, key))
            assert answer.status_code == 202, (key, answer.status_code, answer.text)
            asked.accepted = time.monotonic()
            asked.jobs.add(answer.json()["id"])
            for what in self._wishes(key):
                self._more.put((key, what))

    def _wishes(self, key: str) -> list[str]:
        chance = random.Random(f"{key} more")
        shares = {"again": AGAIN_SHARE, "other": OTHER_SHARE, "cancel": CANCEL_SHARE, "follow": FOLLOW_SHARE}
        return [what for what, share in shares.items() if chance.random() < share]

    def _follow_all(self, client: httpx.Client) -> None:
        while (wish := self._more.get()) is not None:
            key, what = wish
            asked = self.asked[key]
            match what:
                case "again":
                    answer = self._insist(lambda key=key: self._post(client, key))
                    assert answer.status_code == 202, (key, answer.status_code, answer.text)
                    asked.jobs.add(answer.json()["id"])
                case "other":
                    answer = self._insist(lambda key=key: self._post(client, key, {"n": -1}))
                    asked.other_taken = "" if answer.status_code == 422 else f"{answer.status_code} {answer.text}"
                case "cancel":
                    asked.canceled = True
                    (job,) = asked.jobs
                    answer = self._insist(lambda job=job: client.delete(f"/api/v1/jobs/{job}"))
                    assert answer.status_code in (200, 409), (key, answer.status_code, answer.text)
                case _:
                    asked.seen.append(self._followed(client, next(iter(asked.jobs))))

    def _followed(self, client: httpx.Client, job: str) -> tuple[str, str]:
        """Return the status and the effect of a job that has ended."""
        view = {"status": ""}
        while view["status"] not in _FINAL:
            answer = self._insist(lambda: client.get(f"/api/v1/jobs/{job}", params={"wait": 20}))
            assert answer.status_code == 200, (job, answer.status_code, answer.text)
            view = answer.json()
        if view["status"] != "succeeded":
            return str(view["status"]), ""
        result = self._insist(lambda: client.get(f"/api/v1/jobs/{job}/result"))
        assert result.status_code == 200, (job, result.status_code, result.text)
        return "succeeded", str(result.json()["effect"])

    def _post(self, client: httpx.Client, key: str, more: dict[str, object] | None = None) -> httpx.Response:
        nap_s = LONG_NAP_S if random.Random(f"{key} nap").random() < LONG_SHARE else NAP_S
        body = {"n": self.asked[key].number, "key": key, "nap_s": nap_s} | (more or {})
        return client.post(f"/v1/models/{ECHO}/jobs", json=body, headers={"Idempotency-Key": key})

    def _insist(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        """Ask until somebody is there."""
        deadline = time.monotonic() + INSIST_S
        while True:
            try:
                answer = ask()
            except httpx.TransportError as error:
                self.statuses[0] += 1
                said = repr(error)
            else:
                self.statuses[answer.status_code] += 1
                if answer.status_code not in _AWAY:
                    return answer
                said = f"{answer.status_code} {answer.text}"
            assert time.monotonic() < deadline, f"nobody was there for {INSIST_S:g} s: {said}"
            time.sleep(0.1)


class Onlooker:
    """Reads the ledger while all goes on, and notes how each job ended when that was seen first."""

    def __init__(self, home: Path) -> None:
        self.seen: dict[str, tuple[str, str]] = {}
        """Status and effect, by job."""
        self._file, self._since = home / "fairlead.sqlite3", datetime.min
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Onlooker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            try:
                self._look()
            except sqlite3.OperationalError:
                continue  # who writes it was just killed: it is looked at again

    def _look(self) -> None:
        ended = (
            "select id, status, result, finished_at from jobs"
            " where idempotency_key is not null and finished_at >= ? order by finished_at"
        )
        with contextlib.closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as ledger:
            for job, status, result, finished in ledger.execute(ended, (self._since.isoformat(" "),)):
                self._since = datetime.fromisoformat(finished) - COMMIT_S
                self.seen.setdefault(job, (status, _effect(status, result)))


def rows(home: Path) -> list[Row]:
    """Return all jobs with a key that the ledger of an installation has; it must be down."""
    with contextlib.closing(sqlite3.connect(f"file:{home / 'fairlead.sqlite3'}?mode=ro", uri=True)) as ledger:
        ends = Counter(
            ref
            for (ref,) in ledger.execute(
                "select ref from events where kind = 'job' and status_to in ('succeeded', 'failed', 'canceled')"
            )
        )
        found = ledger.execute(
            "select idempotency_key, id, status, reason, body, result, attempts, created_at, finished_at from jobs"
            " where idempotency_key is not null"
        )
        return [_row(ends, *row) for row in found]


def _row(
    ends: Counter[str],
    key: str,
    job: str,
    status: str,
    reason: str,
    body: bytes,
    result: bytes | None,
    attempts: int,
    created: str,
    finished: str | None,
) -> Row:
    number = int(json.loads(result if result and status == "succeeded" else body)["n"])
    return Row(
        key,
        job,
        status,
        reason,
        number,
        _effect(status, result),
        attempts,
        _moment(created),
        _moment(finished),
        ends[job],
    )


def _effect(status: str, result: bytes | None) -> str:
    return str(json.loads(result)["effect"]) if result and status == "succeeded" else ""


def _moment(text: str | None) -> float:
    """Return seconds since 1970 of a moment in the ledger, which is in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() if text else 0.0


def done(home: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return by key the effects that the model began and those that it answered, from the logs of all its replicas."""
    began: dict[str, list[str]] = defaultdict(list)
    answered: dict[str, list[str]] = defaultdict(list)
    for file in (home / "logs").glob(f"{ECHO}-*/*.log*"):
        for line in file.read_text(errors="replace").splitlines():
            words = _said(line).split()
            if len(words) == 3 and words[0] in ("effect", "answers"):
                (began if words[0] == "effect" else answered)[words[1]].append(words[2])
    return dict(began), dict(answered)


def _said(line: str) -> str:
    try:
        return str(json.loads(line).get("said", ""))
    except ValueError:
        return ""  # cut by a kill
