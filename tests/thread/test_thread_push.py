"""A large bundle on its way: control is killed, the person stops and goes on, and nothing half is ever a version."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.thread import kit
from tests.thread.relay import Relay, relay
from tests.thread.rig import FAIRLEAD, Platform, platform, until

pytestmark = pytest.mark.timeout(300)
WEIGHTS_BYTES = 40_000_000
CODE = "def M(n: int) -> int:\n    return n + {more}\n"


@pytest.fixture(scope="module")
def house() -> Iterator[Platform]:
    with platform() as made:
        yield made


def bundle(folder: Path, seed: int) -> Path:
    kit.model(folder, CODE.format(more=1))
    (folder / "weights.bin").write_bytes(random.Random(seed).randbytes(WEIGHTS_BYTES))
    return folder


def incoming(house: Platform) -> list[Path]:
    return sorted((house.home / "keeper" / "incoming").glob("*"))


def half_there(house: Platform) -> bool:
    """Whether part of the weights came."""
    return any(path.suffix == ".half" and path.stat().st_size > 1_000_000 for path in incoming(house))


def push(house: Platform, folder: Path, url: str) -> subprocess.Popen[str]:
    words = [FAIRLEAD, "push", str(folder)]
    env = house.env | {"FAIRLEAD_URL": url, "FAIRLEAD_TOKEN": house.token}
    return subprocess.Popen(words, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def way(house: Platform) -> AbstractContextManager[Relay]:
    """Return a way to the front door on which half of the weights stand still."""
    where = urlsplit(house.url)
    return relay((str(where.hostname), int(where.port or 80)), WEIGHTS_BYTES // 2)


def test_a_push_outlives_a_control_that_is_killed(house: Platform, tmp_path: Path) -> None:
    """S-32: kill -9 in the middle of an upload."""
    folder = bundle(tmp_path / "steady", 1)
    with way(house) as held:
        pushing = push(house, folder, held.url)
        until(lambda: half_there(house), "part of the weights came")

        os.kill(house.pids()["control"], signal.SIGKILL)
        held.release()
        out, err = pushing.communicate(timeout=120)

    assert pushing.returncode == 0, err
    assert out.startswith("steady@1 ")
    assert house.ok("predict", "steady", "--set", "n=1").strip() == "2"
    assert incoming(house) == []


def test_stopped_and_pushed_again_it_goes_on_and_weights_travel_once(house: Platform, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "stopped", 2)
    with way(house) as held:
        pushing = push(house, folder, held.url)
        until(lambda: half_there(house), "part of the weights came")
        pushing.send_signal(signal.SIGINT)  # as Ctrl-C
        out, err = pushing.communicate(timeout=10)  # the way stands still: nothing is waited for
    assert (pushing.returncode, out, "goes on from there" in err) == (130, "", True), err
    assert [one["name"] for one in house.view("models")["items"] if one["name"] == "stopped"] == []

    done = house.cli("push", str(folder))

    assert (done.returncode, done.stdout.startswith("stopped@1 ")) == (0, True), done.stderr
    (folder / "model.py").write_text(CODE.format(more=2))
    done = house.cli("push", str(folder))
    assert (done.returncode, done.stdout.startswith("stopped@2 ")) == (0, True), done.stderr
    assert "sent 2 of 3 files" in done.stderr
    assert house.ok("predict", "stopped", "--set", "n=1").strip() == "3"
    assert incoming(house) == []
