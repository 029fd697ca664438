"""What the program of an app's run writes when the app fails."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.sdk.app import App
from fairlead.sdk.runner import Runner
from fairlead.sdk.trouble import IN_A_ROW


def test_an_app_that_ends_at_start_is_one_record_with_its_own_frames(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("def value():\n    return {}['nope']\n\n\napp = value()\n")

    done = subprocess.run(
        [sys.executable, "-m", "fairlead.sdk.run", "main:app"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    record = json.loads(line)
    assert (record["level"], record["said"]) == ("error", "the app ended: KeyError: 'nope'")
    assert [text for text in record["traceback"].splitlines() if "File" in text] == [
        '  File "main.py", line 5, in <module>',
        '  File "main.py", line 2, in value',
    ]


def test_a_handler_that_fails_again_and_again_is_in_the_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(App())

    def cool() -> None:
        raise KeyError("x")

    for _ in range(IN_A_ROW):
        assert not asyncio.run(runner._guarded(cool))

    assert runner._trouble.said(0).endswith("cool: KeyError: 'x'")
