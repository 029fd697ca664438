"""Weights of two gigabytes travel once, and no process of the platform holds them in its memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tests.thread import kit
from tests.thread.rig import Platform, platform

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
WEIGHTS_BYTES = 2 * 1024**3 + 1
MARK_EACH_BYTES = 256 * 1024**2
MORE_BYTES = 256 * 1024**2
"""What a process may take more while an eighth of it at a time passes."""
CODE = """
import pathlib


def M(at: int) -> int:
    with (pathlib.Path(__file__).parent / "weights.bin").open("rb") as file:
        file.seek(at)
        return file.read(1)[0] + {more}
"""


@pytest.fixture
def house() -> Iterator[Platform]:
    with platform() as made:
        yield made


def bundle(folder: Path, more: int) -> Path:
    """Write a bundle whose weights are a hole with a byte of its own in each part."""
    kit.model(folder, CODE.format(more=more))
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(WEIGHTS_BYTES)
        for at in range(0, WEIGHTS_BYTES, MARK_EACH_BYTES):
            file.seek(at)
            file.write(bytes([1 + at // MARK_EACH_BYTES]))
    return folder


@contextmanager
def memory_of(pids: dict[str, int]) -> Iterator[dict[str, int]]:
    """Yield how many bytes each process has taken more at most than at the begin; whole when the block has ended."""
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    before = {name: process.memory_info().rss for name, process in processes.items()}
    most = dict.fromkeys(pids, 0)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for name, process in processes.items():
                most[name] = max(most[name], process.memory_info().rss - before[name])

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield most
    finally:
        done.set()
        watching.join()


def test_weights_of_two_gigabytes_travel_once_and_through_nobodys_memory(house: Platform, tmp_path: Path) -> None:
    with memory_of(house.pids()) as took:
        house.ok("push", str(bundle(tmp_path / "heavy", 0)), timeout_s=600)

    last = WEIGHTS_BYTES - 1
    assert house.ok("predict", "heavy", "--set", f"at={last}").strip() == str(1 + last // MARK_EACH_BYTES)
    assert max(took.values()) < MORE_BYTES, took

    again = house.cli("push", str(bundle(tmp_path / "heavy", 1)), timeout_s=600)

    assert again.returncode == 0, again.stderr
    assert "sent 1 of 3 files" in again.stderr or "sent 2 of 3 files" in again.stderr, again.stderr
    assert house.ok("predict", "heavy", "--set", "at=0").strip() == "2"
