"""A disk that one bundle fills: it is ended and says why, the room comes back, and others notice nothing (S-62)."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from tests.thread.kit import model
from tests.thread.rig import LATE_S, platform, until

pytestmark = pytest.mark.timeout(300)
GREEDY = """
import os
import pathlib

import fairlead


class M(fairlead.Model):
    def predict(self, mb: int) -> dict:
        for number in range(mb):
            pathlib.Path(os.environ["TMPDIR"], f"file-{number}").write_bytes(os.urandom(1024 * 1024))
        return {"mb": mb}
"""
MODEST = """
import fairlead


class M(fairlead.Model):
    def predict(self, n: int) -> dict:
        return {"n": n}
"""
LIMIT_MB = 40


def kept(folder: Path) -> list[Path]:
    return [Path(at, name) for at, _, names in os.walk(folder) for name in names if name.startswith("file-")]


def test_s62_a_model_that_fills_the_disk_is_ended_and_others_serve_on(tmp_path: Path) -> None:
    always = "[scale]\nmin = 1\nmax = 1\n"
    with platform(start=False) as house:
        house.home.mkdir()
        (house.home / "settings.toml").write_text(f"scratch_mb = {LIMIT_MB}\n")
        house.up()
        house.ok("push", str(model(tmp_path / "greedy", GREEDY, examples=always)))
        house.ok("push", str(model(tmp_path / "modest", MODEST, examples=always)))

        def call(client: httpx.Client, name: str, body: dict[str, int], timeout_s: float = LATE_S) -> int:
            return client.post(f"/v1/models/{name}/predict", json=body, timeout=timeout_s).status_code

        with house.client() as client, house.client() as other:
            assert call(client, "greedy", {"mb": 2}) == 200
            assert call(other, "modest", {"n": 1}) == 200
            assert call(client, "greedy", {"mb": 1024}, 120) >= 500
            until(lambda: not kept(house.home / "scratch"), "the room comes back", LATE_S)
            assert call(other, "modest", {"n": 2}) == 200
            until(lambda: "disk_quota: its files took" in house.ok("models", "show", "greedy"), "it is told", LATE_S)
            modest = house.view("models", "show", "modest")
            assert "disk_quota" not in str(modest)
            logs = "".join(file.read_text() for file in (house.home / "logs").glob("greedy-*/*.log"))
            assert f"more than the {LIMIT_MB} MB" in logs
            figure = 'fairlead_restarts_total{model="greedy",version="1",reason="disk_quota"}'
            until(lambda: figure in client.get("/metrics").text, "it is counted", LATE_S)
            until(lambda: call(client, "greedy", {"mb": 2}) == 200, "it serves again", LATE_S)
        until(lambda: "disk_quota" in house.ok("why", "greedy"), "why tells it", LATE_S)
