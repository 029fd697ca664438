"""The look into a bundle, as the keeper starts it: one line of JSON last, whatever the bundle prints or raises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fairlead.keeper.bundles import finding

LIMIT_S = 60


def look(folder: Path, **order: Any) -> dict[str, Any]:
    variables = {**os.environ, "FAIRLEAD_INSPECT": msgspec.json.encode({"folder": str(folder), **order}).decode()}
    command = [sys.executable, "-P", "-m", "fairlead.modelserver.inspect"]
    done = subprocess.run(command, env=variables, capture_output=True, timeout=LIMIT_S, check=True)
    found: dict[str, Any] = msgspec.json.decode(done.stdout.splitlines()[-1])
    return found


def model(folder: Path, code: str) -> dict[str, Any]:
    (folder / "looked_model.py").write_text(code)
    spec = {"name": "m", "version": "1", "runtime": "python", "entry": "looked_model:predict"}
    return look(folder, spec=spec)


def test_a_model_tells_its_signature_and_what_it_imports(tmp_path: Path) -> None:
    noise = "import atexit, joblib\natexit.register(print, 'late')\nprint('early', end='')\n"
    code = noise + "def predict(x: int = 3) -> str: ..."
    found = model(tmp_path, code)
    assert found["ok"]
    predict = found["signature"]["endpoints"]["predict"]
    assert predict["input"]["properties"] == {"x": {"type": "integer", "default": 3}}
    assert predict["output"] == {"type": "string"}
    assert "joblib" in found["preload"]


def test_a_missing_requirement_is_named(tmp_path: Path) -> None:
    found = model(tmp_path, "import not_installed_here")
    assert not found["ok"]
    assert found["error"]["code"] == "load_failed"
    assert "[run] requires" in found["error"]["hint"]


def test_a_bundle_that_exits_is_a_finding(tmp_path: Path) -> None:
    assert "SystemExit" in model(tmp_path, "raise SystemExit(3)")["error"]["message"]


def test_an_app_tells_the_roles_it_asks_for(tmp_path: Path) -> None:
    (tmp_path / "looked_app.py").write_text(
        "import fairlead\napp = fairlead.App()\ncameras, faces = app.devices('cameras'), app.model('faces')\n"
    )
    found = look(tmp_path, kind="app", entry="looked_app:app")
    assert found["signature"] == {"devices": ["cameras"], "models": ["faces"], "web": False}
    wrong = look(tmp_path, kind="app", entry="looked_app:cameras")
    assert wrong["error"]["code"] == "entry_invalid"


def test_what_load_raises_is_told_with_the_frames_of_the_bundle(tmp_path: Path) -> None:
    found = model(tmp_path, "from pathlib import Path\n\nhere = Path(__file__).with_name('names.txt').read_text()\n")
    assert found["last_lines"][1] == '  File "looked_model.py", line 3, in <module>'
    assert found["last_lines"][-1].startswith("FileNotFoundError: ")
    assert str(tmp_path) not in str(found)


@pytest.mark.parametrize(
    ("code", "exits", "where"),
    [
        ("import os\n\nos._exit(3)\n", 3, "line 3"),
        ("import ctypes\n\n\nctypes.string_at(0)\n", -signal.SIGSEGV, "line 4"),
    ],
)
def test_a_bundle_that_ends_the_process_says_where(tmp_path: Path, code: str, exits: int, where: str) -> None:
    ended = raw_look(tmp_path, code)
    assert ended.returncode == exits
    found = finding.read(ended.stderr, ended.returncode, str(tmp_path), 512)
    assert any(where in line and '"looked_model.py"' in line for line in found.last_lines)


def test_a_bundle_that_hangs_says_where(tmp_path: Path) -> None:
    begun = begin(tmp_path, "import time\n\ntime.sleep(600)\n", limit_s=2.0)
    try:
        assert begun.stderr is not None
        said = b""
        while b"line 3 in <module>" not in said:
            line = begun.stderr.readline()
            assert line, "it ended"
            said += line
    finally:
        begun.kill()
        begun.communicate()
    assert finding.too_slow(said, 2, str(tmp_path)).last_lines[-1] == '  File "looked_model.py", line 3 in <module>'


def begin(folder: Path, code: str, **more: Any) -> subprocess.Popen[bytes]:
    (folder / "looked_model.py").write_text(code)
    spec = {"name": "m", "version": "1", "runtime": "python", "entry": "looked_model:predict"}
    order = msgspec.json.encode({"folder": str(folder), "spec": spec, **more}).decode()
    command = [sys.executable, "-P", "-m", "fairlead.modelserver.inspect"]
    variables = {**os.environ, "FAIRLEAD_INSPECT": order}
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def raw_look(folder: Path, code: str) -> subprocess.CompletedProcess[bytes]:
    process = begin(folder, code)
    stdout, stderr = process.communicate(timeout=LIMIT_S)
    return subprocess.CompletedProcess([], process.returncode, stdout, stderr)
