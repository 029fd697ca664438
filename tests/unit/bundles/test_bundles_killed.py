"""A process that is killed while it unpacks leaves no bundle: it is there as a whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.bundles.test_bundles_archive import Raw, Zip

from fairlead.bundles.archive import unpack

FILES = 3000
UNPACK = "import sys, pathlib, fairlead.bundles.archive as a; a.unpack(*map(pathlib.Path, sys.argv[1:]))"


@pytest.mark.parametrize("there", [1, 100, 1000, 2500])
def test_s32_killed_in_the_middle_of_unpacking_it_is_no_bundle(tmp_path: Path, there: int) -> None:
    file, folder = tmp_path / "bundle.zip", tmp_path / "out" / "bundle"
    file.write_bytes(Zip([Raw(b"%d/%d" % (n % 50, n), data=b"x" * 100) for n in range(FILES)]).bytes())
    folder.parent.mkdir()
    with subprocess.Popen([sys.executable, "-c", UNPACK, str(file), str(folder)]) as child:
        deadline = time.monotonic() + 30
        while child.poll() is None and time.monotonic() < deadline:
            if sum(len(names) for _, _, names in os.walk(folder.parent)) >= there:
                child.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        killed = child.wait(30) == -signal.SIGKILL
    if killed:
        assert not folder.exists()

    unpack(file, folder)

    assert sum(len(names) for _, _, names in os.walk(folder)) == FILES
