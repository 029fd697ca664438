"""A whole platform is saved while it works and comes back in another home: models, jobs, secrets, people, devices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.thread.kit import Room, model, room
from tests.thread.rig import LATE_S, Platform, platform, until

pytestmark = pytest.mark.timeout(400)
CODE = """
import os

import fairlead


class M(fairlead.Model):
    def predict(self, n: int) -> dict:
        return {"twice": 2 * n, "key": os.environ["API_KEY"][-4:]}
"""


def test_a_platform_that_works_is_saved_and_comes_back_elsewhere(tmp_path: Path) -> None:
    folder = model(tmp_path / "mood", CODE, 'secrets = ["API_KEY"]\n')
    archive = tmp_path / "house.tar.zst"
    with platform() as house, room(house, "lab", tmp_path) as lab:
        house.cli("secrets", "set", "mood", "API_KEY", stdin="a-key-6a1f\n")
        house.ok("push", str(folder))
        job = house.ok("jobs", "submit", "mood", "--set", "n=21").split()[0]
        until(lambda: house.view("jobs", "show", job)["status"] == "succeeded", "the job is done", 2 * LATE_S)
        lab.measure(21.5)
        token = house.token

        told = house.ok("backup", str(archive), "--home", str(house.home))

        assert told.startswith(str(archive)), told
        assert house.cli("predict", "mood", "--json", '{"n": 1}').returncode == 0, "it goes on meanwhile"
        again = house.cli("backup", str(archive), "--home", str(house.home))
        assert (again.returncode, "exists" in again.stderr) == (5, True), again.stderr
        inside = house.cli("backup", str(house.home / "b.tar.zst"), "--home", str(house.home))
        assert (inside.returncode, "lies in the home" in inside.stderr) == (5, True), inside.stderr
        lab.unplug()
        house.stop()
        back = Platform(house.home.with_name("back"), house.config, (house.port, house.mqtt))
        try:
            _comes_back(back, archive, job, token, lab)
        finally:
            back.down()


def _comes_back(back: Platform, archive: Path, job: str, token: str, lab: Room) -> None:
    assert "is whole" in back.ok("restore", str(archive), "--check")
    made = back.ok("restore", str(archive), "--home", str(back.home))
    assert "all as they were saved" in made
    refused = back.cli("restore", str(archive), "--home", str(back.home))
    assert (refused.returncode, "is not empty" in refused.stderr) == (4, True), refused.stderr

    back.up()  # where it listened is in the backup

    with back.client(token) as client:
        answer = until(
            lambda: (a := client.post("/v1/models/mood/predict", json={"n": 4})).status_code == 200 and a,
            "the model answers those who had a token",
            120,
        )
    assert answer.json() == {"twice": 8, "key": "6a1f"}, "its secret came too"
    assert json.loads(back.ok("jobs", "result", job)) == {"twice": 42, "key": "6a1f"}
    lab.plug_in()
    assert lab.device()["status"] == "online", "a device signs in with the password it had"
    assert [one["name"] for one in back.get("/users")["items"]] == ["admin"]
