"""Secrets of a bundle as a person sets them: from the command line to the process, and nowhere else."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import psutil
import pytest
from tests.thread.kit import model
from tests.thread.rig import LATE_S, platform, until

pytestmark = pytest.mark.timeout(300)
FIRST, SECOND = "first-canary-61a7", "second-canary-93f2"
CODE = """
import os

import fairlead

print("my key is", os.environ["API_KEY"], flush=True)


class M(fairlead.Model):
    def predict(self, n: int) -> dict:
        return {"ends": os.environ["API_KEY"][-4:], "n": n}
"""


def test_a_secret_reaches_its_process_alone_and_a_new_value_drops_no_call(tmp_path: Path) -> None:
    """S-70, S-73: planted values are in no file, argument, log or report; a push without one says what to do."""
    folder = model(tmp_path / "mood", CODE, 'secrets = ["API_KEY"]\n', examples="[scale]\nmin = 1\n")
    with platform() as house:
        refused = house.cli("push", str(folder))
        assert refused.returncode == 5, refused.stderr
        assert "fairlead secrets set mood API_KEY" in refused.stderr
        set_ = house.cli("secrets", "set", "mood", "API_KEY", stdin=f"{FIRST}\n")
        assert (set_.returncode, set_.stdout) == (0, "mood API_KEY set\n"), set_.stderr
        house.ok("push", str(folder))

        ends: list[str] = []
        failed: list[str] = []
        over = threading.Event()

        def call() -> None:
            with house.client() as client:
                while not over.is_set():
                    answer: httpx.Response = client.post("/v1/models/mood/predict", json={"n": 1})
                    (ends.append(answer.json()["ends"]) if answer.status_code == 200 else failed.append(answer.text))

        calling = threading.Thread(target=call)
        calling.start()
        try:
            until(lambda: FIRST[-4:] in ends, "it answers by the first value")
            house.cli("secrets", "set", "mood", "API_KEY", stdin=f"{SECOND}\n")
            until(lambda: ends[-1] == SECOND[-4:], "it answers by the second value", 2 * LATE_S)
        finally:
            over.set()
            calling.join()
        assert failed == []
        assert ends == sorted(ends, key=[FIRST[-4:], SECOND[-4:]].index), "never back to the older value"

        assert "my key is ***" in house.ok("logs", "mood")
        told = house.ok("secrets") + house.ok("--json", "models", "show", "mood") + house.ok("why", "mood")
        lines = " ".join(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
        for value in (FIRST, SECOND):
            assert value not in told + lines
            own = {house.home / "logs"}  # what the bundle itself printed lies in its own log
            for file in (path for path in house.home.rglob("*") if path.is_file() and own.isdisjoint(path.parents)):
                assert value.encode() not in file.read_bytes(), file
