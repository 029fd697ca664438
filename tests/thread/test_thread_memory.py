"""A model that holds more than memory_mb: it is ended and says why, to callers and jobs; others notice nothing (S-62)."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tests.thread.kit import model
from tests.thread.rig import LATE_S, platform, until

pytestmark = pytest.mark.timeout(300)
GREEDY = """
import os
import time

import fairlead


class M(fairlead.Model):
    def predict(self, mb: int, elsewhere: bool = False) -> dict:
        if elsewhere and os.fork() == 0:
            os.setsid()
            kept = [bytearray(b"x" * 1024 * 1024) for _ in range(mb)]
            time.sleep(600)
        kept = [] if elsewhere else [bytearray(b"x" * 1024 * 1024) for _ in range(mb)]
        while mb > 100:
            time.sleep(0.05)
        return {"mb": mb}
"""
MODEST = """
import fairlead


class M(fairlead.Model):
    def predict(self, n: int) -> dict:
        return {"n": n}
"""
LIMIT_MB = 160
BOUND = f"[resources]\nmemory_mb = {LIMIT_MB}\n[scale]\nmin = 1\nmax = 1\n"


def test_s62_a_model_that_holds_too_much_memory_is_ended_and_others_serve_on(tmp_path: Path) -> None:
    with platform() as house:
        house.ok("push", str(model(tmp_path / "greedy", GREEDY, examples=BOUND)))
        house.ok("push", str(model(tmp_path / "modest", MODEST, examples="[scale]\nmin = 1\nmax = 1\n")))

        def call(client: httpx.Client, name: str, body: dict[str, object]) -> httpx.Response:
            return client.post(f"/v1/models/{name}/predict", json=body, timeout=120)

        with house.client() as client, house.client() as other:
            assert call(client, "greedy", {"mb": 2}).status_code == 200
            for elsewhere in (False, True):
                answer = call(client, "greedy", {"mb": 400, "elsewhere": elsewhere})
                assert (answer.status_code, answer.json()["error"]["code"]) == (500, "oom")
                assert f"more than memory_mb = {LIMIT_MB}" in answer.json()["error"]["message"]
                assert call(other, "modest", {"n": 1}).status_code == 200
                until(lambda: call(client, "greedy", {"mb": 2}).status_code == 200, "it serves again", LATE_S)
            assert "oom: its processes held" in house.ok("models", "show", "greedy")
            assert "oom: its processes held" in house.ok("why", "greedy")
            assert "oom" not in str(house.view("models", "show", "modest"))
            logs = "".join(file.read_text() for file in (house.home / "logs").glob("greedy-*/*.log"))
            assert f"more than memory_mb = {LIMIT_MB}" in logs
            figure = 'fairlead_restarts_total{model="greedy",version="1",reason="oom"}'
            until(lambda: figure in client.get("/metrics").text, "it is counted", LATE_S)

            job = client.post("/v1/models/greedy/jobs", json={"mb": 400}).json()["id"]
            seen = lambda: client.get(f"/api/v1/jobs/{job}").json()  # noqa: E731
            until(lambda: "oom: its processes held" in str(seen()["reason"]), "a job says it", LATE_S)
            house.ok("jobs", "cancel", job)


def test_s62_a_model_that_needs_too_much_memory_from_the_start_has_failed_and_says_so(tmp_path: Path) -> None:
    code = GREEDY.replace(
        "    def predict", "    def load(self):\n        self.kept = b'x' * 400 * 1024 * 1024\n\n    def predict"
    )
    with platform() as house:
        said = house.cli("push", str(model(tmp_path / "heavy", code, examples=BOUND)))
        assert said.returncode != 0
        assert f"once it is loaded, more than memory_mb = {LIMIT_MB}" in said.stderr
        assert "oom" in said.stderr
