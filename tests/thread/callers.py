"""Open load on one model: a call is sent when it is due, whatever became of the earlier ones; every call is counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
from tests.thread.load import Call
from tests.thread.rig import Platform

WAITING_MAX = 64
"""Calls under way at once, at most."""


class Callers:
    """Calls ``model`` so many times a second while the block runs; its answers must have ``n`` and ``pid``."""

    def __init__(self, made: Platform, model: str, per_s: float) -> None:
        self.calls: list[Call] = []
        self._path, self._per_s = f"/v1/models/{model}/predict", per_s
        limits = httpx.Limits(max_connections=WAITING_MAX, max_keepalive_connections=WAITING_MAX)
        headers = {"Authorization": f"Bearer {made.token}"}
        self._client = httpx.Client(base_url=made.url, headers=headers, timeout=60, limits=limits, trust_env=False)
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(WAITING_MAX)
        self._pacing = threading.Thread(target=self._pace, daemon=True)

    def __enter__(self) -> Callers:
        self._pacing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pacing.join(60)
        self._pool.shutdown()
        self._client.close()

    def since(self, moment: float) -> list[Call]:
        """Return the calls sent after ``moment`` (monotonic) that have ended."""
        return [call for call in list(self.calls) if call.sent >= moment]

    def last(self, seconds: float) -> list[Call]:
        return self.since(time.monotonic() - seconds)

    def failed(self, since: float = 0) -> list[Call]:
        return [call for call in self.since(since) if not call.is_good]

    def one(self, **body: object) -> Future[Call]:
        """Send one call more, with this body."""
        return self._pool.submit(self._call, 0, body)

    def _pace(self) -> None:
        due, number = time.monotonic(), 0
        while not self._over.wait(max(0.0, due - time.monotonic())):
            number += 1
            self._pool.submit(self._keep, number)
            due = max(due + 1 / self._per_s, time.monotonic() - 1)

    def _keep(self, number: int) -> None:
        self.calls.append(self._call(number, {"n": number}))

    def _call(self, number: int, body: dict[str, object]) -> Call:
        sent = time.monotonic()
        try:
            answer = self._client.post(self._path, json={"n": number} | body)
        except httpx.TransportError as error:
            return Call(number, sent, time.monotonic() - sent, 0, 0, repr(error))
        took_s = time.monotonic() - sent
        if answer.status_code != 200:
            return Call(number, sent, took_s, answer.status_code, 0, answer.text)
        assert answer.json()["n"] == body.get("n", number), answer.text
        return Call(number, sent, took_s, 200, answer.json()["pid"], "")


def quantile_s(calls: Sequence[Call], share: float) -> float:
    """Return the time within which ``share`` of the calls were answered."""
    times = sorted(call.took_s for call in calls)
    assert times, "nobody was answered"
    return times[min(len(times) - 1, int(share * len(times)))]


def share_of(calls: Sequence[Call], pid: int) -> float:
    """Return which part of the calls one replica answered."""
    by = Counter(call.pid for call in calls)
    return by[pid] / max(1, by.total())
