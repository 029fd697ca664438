"""Faults that concern jobs and sleeping models: the bus is down, five hundred wake one model, wishes come at the wrong time."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from tests.thread import kit
from tests.thread.load import alive, kill
from tests.thread.rig import Platform, platform, until

pytestmark = pytest.mark.timeout(420)
LATE_S = 90.0
HERD = 500
DOWN_S = 4.0
_CODE = """
import os
import time

import fairlead


class M(fairlead.Model):
    def predict(self, n: int, nap_s: float = 0) -> dict[str, int]:
        time.sleep(nap_s)
        return {"n": n, "pid": os.getpid()}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with a model that works, and one that sleeps soon."""
    folder = tmp_path_factory.mktemp("bundles")
    with platform() as made:
        made.ok("push", str(kit.model(folder / "works", _CODE, "[scale]\nmin = 1\nmax = 2\n")))
        made.ok("push", str(kit.model(folder / "dozes", _CODE + "# dozes\n", "[scale]\nidle_s = 5\nconcurrency = 8\n")))
        yield made


def submit(client: httpx.Client, model: str = "works", **body: object) -> dict[str, Any]:
    answer = client.post(f"/v1/models/{model}/jobs", json={"n": 1} | body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def ended(house: Platform, job: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        view = dict(house.get(f"/jobs/{job}", wait=10))
        return view if view["finished_at"] else {}

    return until(look, f"{job} ended", LATE_S)


# --- F-03 -----------------------------------------------------------------------------------------------------------------


def held_down(house: Platform, over: threading.Event) -> None:
    """Kill the bus as soon as it is there, until ``over``; four times at most, so that it is not taken for a loop."""
    for _ in range(4):
        pid = house.pids().get("bus", 0)
        if pid and alive(pid):
            kill(pid)
        while not over.wait(0.02) and house.pids().get("bus", 0) in (0, pid):
            pass
        if over.is_set():
            return


def stood_still(house: Platform, over: threading.Event) -> None:
    """Stop the bus until ``over``: it takes connections and answers nobody."""
    pid = pid_of(house, "bus")
    kill(pid, signal.SIGSTOP)
    over.wait(30)
    kill(pid, signal.SIGCONT)


def pid_of(house: Platform, name: str) -> int:
    return until(lambda: house.pids().get(name, 0), f"{name} runs")


@pytest.mark.parametrize("fault", [held_down, stood_still])
def test_f03_jobs_are_accepted_while_the_bus_is_down_and_done_after(
    house: Platform, fault: Callable[[Platform, threading.Event], None]
) -> None:
    """F-03: predictions do not notice, each job gets its 202 (the ledger is no bus), all are done, once, after."""
    over = threading.Event()
    breaking = threading.Thread(target=fault, args=(house, over), daemon=True)
    jobs: list[str] = []
    with house.client() as client:
        submit(client)
        breaking.start()
        try:
            began = time.monotonic()
            while time.monotonic() - began < DOWN_S:
                jobs.append(submit(client, n=len(jobs))["id"])
                answer = client.post("/v1/models/works/predict", json={"n": 7})
                assert answer.status_code == 200, answer.text
        finally:
            over.set()
            breaking.join(30)
        assert len(jobs) > 5
        done = [ended(house, job) for job in jobs]
        assert {one["status"] for one in done} == {"succeeded"}
        assert max(one["attempts"] for one in done) <= 2
        assert [client.get(one["links"]["result"]).json()["n"] for one in done] == list(range(len(jobs)))


# --- wishes at the wrong time -----------------------------------------------------------------------------------------------


def test_a_result_that_is_not_there_yet_is_refused_with_when_to_come_back(house: Platform) -> None:
    with house.client() as client:
        job = submit(client, nap_s=600)
        answer = client.get(job["links"]["result"])
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (503, "not_ready")
        assert int(answer.headers["retry-after"]) >= 1
        assert error["hint"] == f"fairlead jobs wait {job['id']}"
        assert client.delete(job["links"]["self"]).json()["status"] == "canceled"
        answer = client.get(job["links"]["result"])
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_canceled")


def test_a_job_that_is_done_cannot_be_canceled_and_keeps_its_result(house: Platform) -> None:
    with house.client() as client:
        job = ended(house, submit(client, n=5)["id"])
        answer = client.delete(job["links"]["self"])
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (409, "job_ended")
        assert error["hint"] == f"fairlead jobs result {job['id']}"
        assert client.get(job["links"]["result"]).json()["n"] == 5
        assert house.get(f"/jobs/{job['id']}")["status"] == "succeeded"


def test_a_job_that_is_not_there_is_not_found(house: Platform) -> None:
    with house.client() as client:
        for path in ("/api/v1/jobs/job-0000000000", "/api/v1/jobs/job-0000000000/result"):
            answer = client.get(path)
            assert answer.status_code == 404, answer.text
            assert answer.json()["error"]["hint"]


# --- F-17 -----------------------------------------------------------------------------------------------------------------


def test_f17_five_hundred_callers_of_a_sleeping_model_wake_it_once(house: Platform) -> None:
    """F-17: the herd starts one replica, none more but by a decision to scale, and every caller has an answer, or an honest refusal."""
    until(lambda: house.pid_of("replica", "dozes") == 0, "it sleeps", LATE_S)
    before = set(_starts(house))
    sent = time.time()
    answers, moments = asyncio.run(_herd(house))
    by = Counter(answer.status_code for answer in answers)
    first = min(moments)
    decided = [(moment_of(one["at"]), one["to"]) for one in house.get("/models/dozes/scaling")["decisions"]]
    asked = max(
        [1, *(wanted for at, wanted in decided if sent < at < first)]
    )  # where a start is slow, the scaler wants more
    began = [at for file, at in _starts(house).items() if file not in before]
    print(
        f"{HERD} callers: {dict(by)}; {len(began)} replicas in all, {sum(at < first for at in began)} before the first answer"
    )
    assert len(answers) == HERD
    assert by.keys() <= {200, 429, 503}
    assert by[200] >= 1
    for answer in answers:
        if answer.status_code != 200:
            assert int(answer.headers["retry-after"]) >= 1, answer.text
            assert answer.json()["error"]["hint"], answer.text
    assert 1 <= sum(at < first for at in began) <= asked, (first, decided, began)


async def _herd(house: Platform) -> tuple[list[httpx.Response], list[float]]:
    """Return all answers, and when (seconds since 1970) those came that are good."""
    headers = {"Authorization": f"Bearer {house.token}"}
    limits = httpx.Limits(max_connections=HERD, max_keepalive_connections=HERD)
    moments: list[float] = []
    ready, go = [0], asyncio.Event()
    async with httpx.AsyncClient(
        base_url=house.url, headers=headers, timeout=120, limits=limits, trust_env=False
    ) as client:

        async def call(number: int) -> httpx.Response:
            ready[0] += 1
            await go.wait()
            answer = await client.post("/v1/models/dozes/predict", json={"n": number})
            if answer.status_code == 200:
                moments.append(time.time())
                assert answer.json()["n"] == number
            return answer

        calls = [asyncio.create_task(call(number)) for number in range(HERD)]
        while ready[0] < HERD:
            await asyncio.sleep(0)
        go.set()
        return list(await asyncio.gather(*calls)), moments


def _starts(house: Platform) -> dict[str, float]:
    """Return when each replica of the sleeping model began, by its log."""
    found = {}
    for file in (house.home / "logs").glob("dozes-*/[0-9a-f]*.log"):
        line = file.read_text().partition("\n")[0]
        if line:
            found[str(file)] = moment_of(json.loads(line)["at"])
    return found


def moment_of(said: str) -> float:
    """Return seconds since 1970."""
    return datetime.fromisoformat(said.replace("Z", "+00:00")).timestamp()
