"""``fairlead bench load`` against a whole platform: every answer is waited for and checked, jobs and predictions."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.thread import kit
from tests.thread.rig import Platform, platform, until

pytestmark = pytest.mark.timeout(300)
CODE = """
import time
from fairlead import File, InvalidInput
def M(picture: File, wait_s: float = 0) -> dict:
    time.sleep(wait_s)
    said = picture.read().decode()
    if said == "bad":
        raise InvalidInput("no such picture", "picture")
    return {"name": said, "size": len(said)}
"""
EXAMPLE = '[[examples]]\ntitle = "one"\ninput = { picture = "YWRh" }\n[scale]\nmax = 2\nidle_s = 2'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform() as made:
        made.ok("push", str(kit.model(tmp_path_factory.mktemp("load") / "reader", CODE, examples=EXAMPLE)))
        yield made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("ada", "bo", "cem"):
        (folder / f"{name}.txt").write_text(name)
    (tmp_path / "right.csv").write_text("file,name\nada,ada\nbo,bo\ncem,cem\n")
    return folder


def tried(house: Platform, *words: str) -> tuple[int, str, str]:
    done = house.cli(*words)
    return done.returncode, done.stdout, done.stderr


def test_jobs_are_answered_checked_and_drawn_until_the_model_sleeps(house: Platform, photos: Path) -> None:
    chart, table = photos.parent / "chart.svg", photos.parent / "right.csv"
    words = ["--images", str(photos), "--expect", str(table), "--requests", "60", "--workers", "10", "--settle", "60"]

    said = json.loads(house.ok("--json", "bench", "load", "reader", *words, "--chart", str(chart)))

    assert (said["correct"], said["wrong"], said["failed"], said["mode"]) == (60, 0, 0, "jobs")
    assert said["replicas"][-1]["ready"] == 0
    assert max(look["ready"] for look in said["replicas"]) >= 1
    jobs = house.get("/jobs", model="reader", limit=500)["items"]
    assert len(jobs) == 60
    assert ElementTree.parse(chart)


def test_what_is_wrong_or_fails_is_named_and_ends_with_1(house: Platform, photos: Path) -> None:
    (photos / "bad.txt").write_text("bad")
    table = photos.parent / "right.csv"
    table.write_text("ada,ada\nbo,Bob\ncem,cem\nbad,bad\n")
    for words, what in ((["--predict"], "predictions"), ([], "jobs")):
        code, out, said = tried(
            house, "bench", "load", "reader", "--images", str(photos), "--expect", str(table), *words
        )
        assert code == 1, said
        assert f"4 {what} of reader in " in out
        assert ": 2 correct, 1 wrong, 1 failed" in out
        assert "bo.txt: expected Bob, got bo" in out
        assert "1 failed: invalid_input" in out


def test_calls_come_when_a_trace_or_a_rate_says(house: Platform, photos: Path) -> None:
    trace = photos.parent / "calls.csv"
    trace.write_text("at\n0\n0.1\n1.5\n1.6\n")
    said = json.loads(house.ok("--json", "bench", "load", "reader", "--images", str(photos), "--trace", str(trace)))
    assert (said["correct"], said["checked"]) == (4, False)
    assert said["took_s"] > 1.5

    words = ["--rate", "20", "--requests", "30", "--predict", "--set", "wait_s=0.01"]
    said = json.loads(house.ok("--json", "bench", "load", "reader@production", "--images", str(photos), *words))
    assert (said["correct"], said["mode"], said["sent"]) == (30, "predict", 30)


def test_ctrl_c_ends_it_with_what_was_measured(house: Platform, photos: Path) -> None:
    words = ["--images", str(photos), "--requests", "5000", "--workers", "4", "--predict", "--set", "wait_s=0.2"]
    program = [sys.executable, "-P", "-c", "from fairlead.cli.main import main; main()", "--json", "bench", "load"]
    before = settled(house)
    load = subprocess.Popen([*program, "reader", *words], env=house.env, stdout=subprocess.PIPE, text=True)
    try:
        until(lambda: served(house) > before + 20, "some calls were answered", 60)  # of these it has 4 in hand
        load.send_signal(signal.SIGINT)
        out, _ = load.communicate(timeout=30)
    finally:
        load.kill()
        load.wait()
    said: dict[str, Any] = json.loads(out)
    assert load.returncode == 130
    assert said["cut"]
    assert 0 < said["correct"] < 5000
    assert said["correct"] + said["unanswered"] == said["sent"]
    assert said["failed"] == 0


def settled(house: Platform) -> int:
    """Return what :func:`served` does once calls of before are counted: nothing more came while replicas told twice."""
    seen = [served(house)]

    def is_same() -> bool:
        seen.append(served(house))
        return seen[-1] == seen[-2]

    until(is_same, "all calls of before are counted", every_s=2.5)
    return seen[-1]


def served(house: Platform) -> int:
    """Return how many calls the platform says it has answered."""
    with house.client() as client:
        text = client.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("fairlead_calls_total") and '"success"' in line]
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))


def test_a_mistake_is_told_before_anything_is_sent(house: Platform, photos: Path) -> None:
    code, _, said = tried(house, "bench", "load", "nobody", "--images", str(photos))
    assert code == 3, said
    code, _, said = tried(house, "bench", "load", "reader", "--images", str(photos.parent / "none"))
    assert code == 3, said
    assert "no such folder" in said
    code, _, said = tried(house, "bench", "load", "reader")
    assert code == 2, said
    (photos.parent / "right.csv").write_text("ada,ada\n")
    words = ["--images", str(photos), "--expect", str(photos.parent / "right.csv")]
    code, _, said = tried(house, "bench", "load", "reader", *words)
    assert code == 5, said
    assert "no answer for bo.txt, cem.txt" in said
