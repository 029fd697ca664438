"""How much room bundles take on the disk, and who is ended for it (S-62)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fairlead.keeper.bundles import diskused
from fairlead.keeper.bundles.diskbound import DiskBound
from fairlead.messages import ErrorInfo
from fairlead.settings import Home
from fairlead.testing.clock import ManualClock

MB = 1024**2
MANY = 10**12


def write(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())  # what is allocated later is not seen yet
    return path


def test_what_is_allocated_counts_once_and_links_lead_nowhere(tmp_path: Path) -> None:
    mine, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    file = write(mine / "deep" / "file", 3 * MB)
    write(elsewhere / "big", 9 * MB)
    os.link(file, mine / "again")
    (mine / "link").symlink_to(elsewhere)
    with (mine / "sparse").open("wb") as sparse:
        sparse.truncate(500 * MB)
    found = diskused.used((mine, tmp_path / "absent"), MANY)
    assert 3 * MB <= found < 4 * MB


def test_empty_files_count_too(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / str(number)).touch()
    assert diskused.used((tmp_path,), MANY) >= 300 * diskused.ENTRY_BYTES
    assert diskused.used((tmp_path,), MB // 2) < 300 * diskused.ENTRY_BYTES, "it stops once that is enough"


def test_files_that_were_removed_while_open_count_where_the_user_is_known(tmp_path: Path) -> None:
    with write(tmp_path / "file", 3 * MB).open("rb"):
        (tmp_path / "file").unlink()
        device = tmp_path.stat().st_dev
        assert diskused.used((tmp_path,), MANY) == 0
        assert diskused.nameless({os.getuid()}, device)[os.getuid()] >= 3 * MB
        assert diskused.nameless({os.getuid()}, device + 1) == {}
        assert diskused.nameless((), device) == {}
    with os.fdopen(os.memfd_create("big"), "wb") as file:
        file.write(b"x" * 3 * MB)
        file.flush()
        assert diskused.nameless({os.getuid()}, diskused.memory_device())[os.getuid()] >= 3 * MB


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Folders in folders, longer than a path may be."""
    (tmp_path / "mine").mkdir()
    here = os.open(tmp_path / "mine", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("down", dir_fd=here)
        below = os.open("down", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    return tmp_path / "mine"


def test_what_is_too_deep_to_be_looked_at_is_too_much_and_goes(deep: Path) -> None:
    assert diskused.used((deep,), MANY) == diskused.UNKNOWN
    diskused.empty(deep)
    assert list(deep.iterdir()) == []


class Machine:
    def __init__(self, root: Path, limit_mb: int) -> None:
        self.home = Home(root)
        self.home.run = root / "run"
        for folder in (self.home.scratch, self.home.run, self.home.logs):
            folder.mkdir(parents=True)
        self.ended: list[tuple[str, ErrorInfo]] = []
        self.bound = DiskBound(self.home, limit_mb, ManualClock(), self._shut_out)

    @asynccontextmanager
    async def _shut_out(self, name: str, error: ErrorInfo) -> AsyncIterator[None]:
        self.ended.append((name, error))
        assert (self.home.scratch / name).exists()
        yield
        assert not list((self.home.scratch / name).iterdir()), "it was removed before anything starts again"


async def test_s62_who_keeps_too_much_is_ended_and_its_files_are_removed_others_stay(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 2)
    for number in range(5):
        write(machine.home.scratch / "greedy-1" / "a" / str(number), MB)
    modest = write(machine.home.scratch / "modest-1" / "file", MB)
    assert await machine.bound.once() == ("greedy-1",)
    ((name, error),) = machine.ended
    assert (name, error.code) == ("greedy-1", "disk_quota")
    assert "more than the 2 MB" in error.message
    assert "scratch_mb" in error.hint
    assert modest.exists()
    assert await machine.bound.once() == ()


async def test_s62_folders_of_sockets_and_logs_hide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diskused, "LOGS_BYTES", 3 * MB)
    machine = Machine(tmp_path, 2)
    for name in ("sockets-1", "logs-1", "modest-1"):
        (machine.home.scratch / name).mkdir()
    hidden = write(machine.home.run / "sockets-1" / "x" / "file", 3 * MB)
    told = write(machine.home.logs / "logs-1" / "abc.log", 6 * MB)
    short = write(machine.home.logs / "modest-1" / "abc.log", 3 * MB)
    assert set(await machine.bound.once()) == {"sockets-1", "logs-1"}
    assert not hidden.exists()
    assert not told.exists()
    assert short.exists(), "logs are bounded by cutting them"
