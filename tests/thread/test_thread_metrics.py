"""Figures, the access log and ids of a whole platform, as whoever operates it sees them."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator

import pytest
from tests.thread import kit
from tests.thread.rig import Platform, platform, until

CODE = """
import fairlead

class M(fairlead.Model):
    def predict(self, x: float) -> float:
        return 1 / x
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
PATH = "/v1/models/inverse/predict"
NAMED = 'model="inverse",version="1"'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform() as made:
        made.ok("push", str(kit.model(tmp_path_factory.mktemp("b") / "inverse", CODE)))
        yield made


def figures(house: Platform) -> dict[str, float]:
    """Return the figures that are there now, by name and labels."""
    with house.client() as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def comes_to(house: Platform, name: str, value: float) -> None:
    until(lambda: figures(house).get(name) == value, f"{name} is {value:g}", 30)


def call(house: Platform, x: float, **headers: str) -> int:
    with house.client() as client:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post(f"{PATH}?note=hunter2", json={"x": x}, headers=sent).status_code


def test_calls_are_counted_and_outlive_their_replica(house: Platform) -> None:
    codes = [call(house, 2), call(house, 4), call(house, 0)]
    assert codes == [200, 200, 500]
    comes_to(house, f'fairlead_calls_total{{{NAMED},outcome="success"}}', 2)
    comes_to(house, f'fairlead_calls_total{{{NAMED},outcome="failed"}}', 1)
    comes_to(house, f"nv_inference_request_success{{{NAMED}}}", 2)
    comes_to(house, f"fairlead_request_duration_seconds_count{{{NAMED}}}", 3)
    answered = f'fairlead_requests_total{{{NAMED},code="2xx"}}'
    comes_to(house, answered, 2)
    before = house.pid_of("replica", "inverse")

    os.kill(before, signal.SIGKILL)
    until(lambda: house.pid_of("replica", "inverse") not in (0, before), "another replica", 30)
    assert call(house, 8) == 200

    comes_to(house, f'fairlead_calls_total{{{NAMED},outcome="success"}}', 3)
    counted = figures(house)[answered]
    assert counted in (2, 3), "what ends just while the front door takes other replicas may be missed, never the rest"
    assert call(house, 8) == 200
    comes_to(house, answered, counted + 1)
    comes_to(house, f'fairlead_restarts_total{{{NAMED},reason="ended"}}', 1)
    comes_to(house, f"fairlead_cold_start_seconds_count{{{NAMED}}}", 2)
    found = figures(house)
    assert found["fairlead_control_up"] == found["fairlead_door_up"] == 1
    shown = house.ok("models", "show", "inverse")
    assert re.search(r"1: 5 requests in \d+ min, 1 errors, p50 \S+ ms, p99 \S+ ms", shown), shown


def test_an_id_and_a_trace_are_found_wherever_a_call_went(house: Platform) -> None:
    token = house.token
    assert call(house, 0, x_request_id="lost-1", traceparent=PARENT) == 500

    def logged(of: str) -> list[dict[str, str]]:
        return list(house.view("logs", of, "--grep", "lost-1")["items"])

    until(lambda: logged("access"), "a line of the front door", 30)
    (line,) = logged("access")
    assert line["said"].startswith(f"POST {PATH} 500")
    until(lambda: logged("inverse"), "a line of the model", 30)
    assert TRACE in logged("inverse")[0]["said"]
    log = (house.home / "logs" / "access.log").read_text()
    assert "hunter2" not in log
    assert token not in log
    assert not any("name=access" in json.dumps(item) for item in house.view("logs")["items"])


def test_a_job_is_counted_and_knows_its_request(house: Platform) -> None:
    with house.client() as client:
        headers = {"X-Request-Id": "ask-7", "traceparent": PARENT}
        job = client.post("/v1/models/inverse/jobs", json={"x": 2}, headers=headers).json()
    assert (job["request_id"], job["trace_id"]) == ("ask-7", TRACE)
    house.ok("jobs", "wait", job["id"])

    comes_to(house, 'fairlead_jobs_total{model="inverse",status="succeeded"}', 1)
    assert "ask-7" in house.ok("why", job["id"])


def test_a_new_keeper_counts_from_nothing(house: Platform) -> None:
    """What its replicas counted before is not new, else a scraper would take it for a leap."""
    assert call(house, 2) == 200
    replica = house.pid_of("replica", "inverse")
    assert house.process is not None
    house.process.kill()
    house.process.wait(30)
    assert call(house, 2) == 200  # counted by nobody: there is no keeper

    house.up()
    comes_to(house, f'fairlead_replicas{{{NAMED},status="ready"}}', 1)
    assert house.pid_of("replica", "inverse") == replica
    assert figures(house)[f'fairlead_requests_total{{{NAMED},code="2xx"}}'] <= 1
    assert figures(house)[f'fairlead_calls_total{{{NAMED},outcome="success"}}'] == 0
    assert figures(house)[f"fairlead_cold_start_seconds_count{{{NAMED}}}"] == 0

    assert call(house, 2) == 200
    comes_to(house, f'fairlead_calls_total{{{NAMED},outcome="success"}}', 1)
