"""What is wrong with a machine."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from fairlead.control import condition
from fairlead.settings import Home

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "said"), [(0, "has 0 MB left"), (110 * 1024**2, "has 110 MB left"), (10**12, "")])
def test_a_disk_that_is_nearly_full_is_a_trouble(
    free: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))
    (tmp_path / "lock").touch()
    found = [one for one in condition.keeper(Home(tmp_path)) if "disk" in one]
    assert bool(found) is bool(said)
    assert all(said in one for one in found)
