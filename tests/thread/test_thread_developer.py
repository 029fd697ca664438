"""What the author of a model reads, through the whole platform: failures with where they were, and pieces as they come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.thread import kit
from tests.thread.rig import Platform, platform, until

WORDS = """\
import time
from collections.abc import Iterator


class M:
    def predict(self, text: str) -> Iterator[str]:
        print("asked for", text)
        for word in text.split():
            if word == "boom":
                raise ValueError("no word")
            yield word
            time.sleep(0.2)
"""
NAMELESS = """\
from pathlib import Path

names = Path("names.txt").read_text()


class M:
    def predict(self, x: int) -> int: ...
"""


@pytest.fixture(scope="module")
def house() -> Iterator[Platform]:
    with platform() as made:
        yield made


def test_pieces_and_failures_reach_the_author(house: Platform, tmp_path: Path) -> None:
    house.ok("push", str(kit.model(tmp_path / "words", WORDS)))
    assert house.ok("predict", "words", "--set", "text=a b") == "ab"

    failed = house.cli("predict", "words", "--set", "text=a boom")
    assert (failed.returncode, failed.stdout.strip()) == (1, "a")
    assert "ValueError: no word" in failed.stderr

    def logged() -> str:
        return house.ok("logs", "words", "--level", "error", "--since", "10m")

    until(lambda: "no word" in logged(), "the traceback is in the log")
    text = logged()
    assert 'File "model.py", line 10, in predict' in text
    assert "asked for a boom" in house.ok("logs", "words", "--since", "10m")
    with house.client() as client:
        refused = client.post(
            "/v1/models/words/predict", json={"text": "boom"}, headers={"accept": "text/event-stream"}
        )
        said: httpx.Response = client.post("/v1/models/words/predict", json={"text": "a b"})
    assert refused.status_code == 500
    assert refused.json()["error"]["hint"].startswith("its traceback: fairlead logs words@1 --grep ")
    assert said.json() == ["a", "b"]


def test_a_model_that_does_not_load_says_where(house: Platform, tmp_path: Path) -> None:
    failed = house.cli("push", str(kit.model(tmp_path / "nameless", NAMELESS)))
    assert failed.returncode == 1
    assert '  |   File "model.py", line 3, in <module>' in failed.stderr
    assert "FileNotFoundError" in failed.stderr
    assert str(house.home) not in failed.stderr
    assert "FileNotFoundError" in house.ok("logs", "nameless@1")


def test_logs_of_the_keeper_are_there_and_empty_ones_say_so(house: Platform) -> None:
    assert "the keeper is up" in house.ok("logs", "keeper")
    nothing = house.cli("logs", "keeper", "--grep", "never said")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "no lines of keeper that fit" in nothing.stderr
