"""Replicas that follow the work of a real platform: up to what is allowed, down again, every call answered once."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.thread import kit
from tests.thread.rig import Platform, platform, until

pytestmark = pytest.mark.timeout(600)
CODE = """
import os, time
def M(n: int) -> dict:
    time.sleep(0.4)
    return {"n": n, "pid": os.getpid()}
"""
MORE = "[scale]\nmax = 4\nidle_s = 5\ndrain_s = 5"
WORK_S = 180.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform() as made:
        made.ok("push", str(kit.model(tmp_path_factory.mktemp("scaling") / "slow", CODE, MORE)))
        yield made


def scaling(house: Platform) -> dict[str, Any]:
    found: dict[str, Any] = house.get("/models/slow/scaling")
    return found


def asleep(house: Platform) -> bool:
    found = scaling(house)
    return (found["ready"], found["starting"], found["wanted"]) == (0, 0, 0)


def test_a_burst_of_jobs_has_replicas_grow_and_leave_and_each_is_done_once(house: Platform) -> None:
    count = 120
    ready = []
    with house.client() as client:
        jobs = {}
        for n in range(count):
            answer = client.post("/v1/models/slow/jobs", json={"n": n})
            assert answer.status_code == 202, answer.text
            jobs[answer.json()["id"]] = n

        def done() -> bool:
            ready.append(scaling(house)["ready"])
            items = client.get("/api/v1/jobs", params={"model": "slow", "limit": 500}).json()["items"]
            return all(one["status"] in ("succeeded", "failed") for one in items)

        until(done, "all jobs ended", WORK_S, 0.3)
        views = [client.get(f"/api/v1/jobs/{job}").json() for job in jobs]
        results = [client.get(f"/api/v1/jobs/{job}/result").json() for job in jobs]

    assert Counter(view["status"] for view in views) == {"succeeded": count}
    assert Counter(view["attempts"] for view in views) == {1: count}
    assert sorted(result["n"] for result in results) == list(range(count))
    assert max(ready) == 4
    assert len({result["pid"] for result in results}) == 4
    until(lambda: asleep(house), "it sleeps again", WORK_S, 0.5)
    rules = [one["rule"] for one in scaling(house)["decisions"]]
    assert {"queue", "most"} & set(rules)
    assert rules[0] == "idle"
    shown = house.ok("models", "show", "slow")
    assert " → 4" in shown
    assert "jobs wait; at " in shown


def test_a_burst_of_requests_has_replicas_grow_and_is_answered_whole(house: Platform) -> None:
    until(lambda: asleep(house), "it sleeps", WORK_S, 0.5)
    ready = burst(house)
    assert max(ready) >= 3


@pytest.mark.long
def test_who_calls_on_while_replicas_are_taken_away_notices_nothing(house: Platform) -> None:
    """Replicas leave two minutes after a burst: one in which it counts, and one for which no more were needed."""
    burst(house)
    few: list[tuple[int, str]] = []
    with house.client(timeout_s=120) as client:
        # one caller keeps one busy: two stay, so that it seldom waits
        deadline = time.monotonic() + 2 * WORK_S
        while scaling(house)["ready"] > 2:
            assert time.monotonic() < deadline, "no replica leaves"
            answer = client.post("/v1/models/slow/predict", json={"n": len(few)})
            few.append((answer.status_code, answer.text))

    assert [said for said in few if said[0] != 200] == []
    assert len(few) > 10
    assert [json.loads(text)["n"] for _, text in few] == list(range(len(few)))
    until(lambda: asleep(house), "it sleeps again", WORK_S, 0.5)


def burst(house: Platform) -> list[int]:
    """Have many call at once, each of whom is answered; return how many replicas were ready, from time to time."""
    over = threading.Event()
    ready: list[int] = []

    def watch() -> None:
        while not over.is_set():
            ready.append(scaling(house)["ready"])
            time.sleep(0.3)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with house.client(timeout_s=120) as client, ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda n: client.post("/v1/models/slow/predict", json={"n": n}), range(160)))
    finally:
        over.set()
        watching.join()
    assert Counter(answer.status_code for answer in answers) == {200: 160}
    assert sorted(answer.json()["n"] for answer in answers) == list(range(160))
    return ready
