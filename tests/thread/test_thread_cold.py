"""Models that sleep beyond what zygotes may keep of the memory: they wake all the same, with answers of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.thread.kit import model
from tests.thread.rig import LATE_S, platform, until

pytestmark = pytest.mark.timeout(300)
CODE = """
import fairlead


class M(fairlead.Model):
    def predict(self, n: int) -> dict:
        return {"n": n, "who": WHO}


WHO = "%s"
"""
NAMES = ("ada", "bob", "eve")


def test_models_whose_zygotes_have_no_room_sleep_without_a_process_and_wake_as_themselves(tmp_path: Path) -> None:
    with platform(start=False) as house:
        house.more_env["FAIRLEAD_ZYGOTE_MEMORY_MB"] = "0"
        house.up()
        for name in NAMES:
            house.ok("push", str(model(tmp_path / name, CODE % name, examples="[scale]\nidle_s = 1\n")))
        with house.client() as client:
            for _ in range(2):
                for name in NAMES:
                    gone = lambda name=name: not house.pid_of("replica", name) and not house.pid_of("zygote", name)  # noqa: E731
                    until(gone, f"{name} sleeps without a zygote", LATE_S)
                for number, name in enumerate(NAMES):
                    answer = client.post(f"/v1/models/{name}/predict", json={"n": number})
                    assert (answer.status_code, answer.json()) == (200, {"n": number, "who": name})
