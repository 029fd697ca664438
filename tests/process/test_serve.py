"""``fairlead serve``: a bundle on this machine, loaded anew on change, without the platform."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from fairlead.cli.commands import templates

DEADLINE_S = 30.0
COMMAND = [sys.executable, "-P", "-c", "from fairlead.cli.main import main; main()"]
Begin = Callable[..., "Served"]


class Served:
    """A ``fairlead serve`` that runs, and what it printed."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.said.append(line.rstrip())

    def says(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Return the first line from ``after`` on that has ``pattern``."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            for line in self.said[after:]:
                if found := re.search(pattern, line):
                    return found
            time.sleep(0.02)
        raise AssertionError("\n".join(self.said))

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        self._reading.join(DEADLINE_S)

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(DEADLINE_S)


@pytest.fixture
def begin() -> Iterator[Begin]:
    made: list[Served] = []

    def start(*words: str) -> Served:
        made.append(Served(*words))
        return made[-1]

    yield start
    for one in made:
        one.close()


def greet(url: str) -> str:
    answer = httpx.post(url, json={"name": "Ada"}, timeout=DEADLINE_S)
    return str(answer.json().get("text") or answer.json()["error"]["code"])


def test_a_bundle_is_served_loaded_anew_and_outlives_a_broken_save(tmp_path: Path, begin: Begin) -> None:
    folder = templates.write("model", "greeter", tmp_path)
    code = (folder / "model.py").read_text()
    served = begin("--here", str(folder))
    url = served.says(r"^ready (http://127\.0\.0\.1:\d+/v1/models/greeter/predict)$")[1]
    assert served.says("curl -s http://127.0.0.1:.*Ada")
    assert greet(url) == "Hello, Ada"
    assert httpx.get(url.replace("predict", "docs")).status_code == 200
    assert "/v1/models/greeter/predict" in httpx.get(url.replace("predict", "openapi.json")).json()["paths"]

    before = len(served.said)
    (folder / "model.py").write_text(code.replace('self.word = "Hello"', "self.word = undefined"))
    served.says('File "model.py", line 15, in load', before)
    served.says("last good one", before)
    assert greet(url) == "Hello, Ada"

    before = len(served.said)
    (folder / "model.py").write_text("def :")
    served.says("last good one", before)
    assert greet(url) == "Hello, Ada"

    before = len(served.said)
    manifest = folder / "fairlead.toml"
    (folder / "model.py").write_text(code.replace('self.word = "Hello"', 'self.word = "Moin"'))
    manifest.write_text(manifest.read_text().replace("Hello, Ada", "Moin, Ada"))
    served.says("^serving greeter@", before)
    assert greet(url) == "Moin, Ada"

    replicas = children(served.process.pid)
    assert served.end() == 0
    assert not [pid for pid in replicas if Path(f"/proc/{pid}").exists()]
    assert not list(folder.rglob("__pycache__"))


CODE = """
import os
from fairlead import Field, Input, Model

class Call(Input):
    word: str
    times: int = Field(ge=3)

class Echo(Model):
    def predict(self, call: Call) -> str:
        if call.word == "exit":
            os._exit(3)
        if call.word == "raise":
            raise KeyError("no such thing")
        return os.environ["API_KEY"] + os.environ.get("OTHER_KEY", "")
"""
MANIFEST = """
kind = "model"
name = "echo"
[run]
entry = "model:Echo"
secrets = ["API_KEY", "OTHER_KEY"]
"""


def test_a_process_that_ends_is_told_and_started_again_and_secrets_come_from_files(
    tmp_path: Path, begin: Begin
) -> None:
    folder = tmp_path / "echo"
    folder.mkdir()
    (folder / "model.py").write_text(CODE)
    (folder / "fairlead.toml").write_text(MANIFEST)
    (tmp_path / "key").write_text("from-a-file\n")
    served = begin("--here", "--secret", f"API_KEY={tmp_path}/key", str(folder))
    url = served.says(r"^ready (http://\S+)$")[1]
    assert served.says("warning: the secret OTHER_KEY is missing: set the variable, or say --secret OTHER_KEY=FILE")
    assert not any("secret API_KEY" in line for line in served.said)
    body = served.says(r"curl -s .* -d '(.*)'")[1]
    answer = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=DEADLINE_S)
    assert (answer.status_code, answer.json()) == (200, "from-a-file")
    failed = httpx.post(url, json={"word": "raise", "times": 3}, timeout=DEADLINE_S).json()["error"]
    assert failed["hint"] == "its traceback is in the terminal of fairlead serve"

    with contextlib.suppress(httpx.TransportError):
        httpx.post(url, json={"word": "exit", "times": 3}, timeout=DEADLINE_S)

    assert served.says("the model's process ended: exit code 3")
    assert served.says("it is started again in ")
    assert served.says("^serving echo@0.dev2$")
    assert httpx.post(url, json={"word": "a", "times": 3}, timeout=DEADLINE_S).json() == "from-a-file"


def test_what_cannot_be_served_says_why(tmp_path: Path, begin: Begin) -> None:
    empty = begin(str(tmp_path))
    assert empty.process.wait(DEADLINE_S) == 5
    broken = templates.write("model", "broken", tmp_path)
    (broken / "model.py").write_text("raise RuntimeError('no')\n\n\nclass Greeter: ...\n")
    once = begin("--here", "--no-reload", str(broken))
    assert once.process.wait(DEADLINE_S) == 5
    once.says("RuntimeError: no")


def test_a_replica_ends_with_a_serve_that_was_killed(tmp_path: Path, begin: Begin) -> None:
    served = begin("--here", str(templates.write("model", "greeter", tmp_path)))
    served.says("^ready ")
    (replica,) = children(served.process.pid)
    served.process.kill()
    end = time.monotonic() + DEADLINE_S
    while Path(f"/proc/{replica}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{replica}").exists()


APP = """
import fairlead

app = fairlead.App()
button, knob, fan = app.device("button"), app.device("knob"), app.device("fan")

@app.on(button.pressed, every=True)
async def pressed(reading):
    await fan.send(on=True)

@app.on(knob.turned, every=True)
async def turned(reading):
    await fan.send(speed=3 if reading.value == "right" else 1)
"""
ROLES = """
kind = "app"
name = "ring"
[run]
entry = "app:app"
[devices]
button = { type = "button" }
knob = { type = "knob" }
fan = { type = "fan" }
"""
KNOB = """
name = "knob"
version = "1.0.0"
[properties.battery]
type = "integer"
[events.turned]
type = "string"
enum = ["left", "right"]
"""


def test_buttons_of_a_served_app_are_pressed_on_the_command_line_and_as_it_is_typed(
    tmp_path: Path, begin: Begin
) -> None:
    folder = tmp_path / "ring"
    folder.mkdir()
    (folder / "fairlead.toml").write_text(ROLES)
    (folder / "app.py").write_text(APP)
    (tmp_path / "knob.toml").write_text(KNOB)
    served = begin("--here", "--press", "button-1", "--type", str(tmp_path / "knob.toml"), str(folder))
    served.says("^ready ring")
    served.says(r"fan-1: on = true \(reading button-1.pressed")
    served.type("knob-1=right")
    served.says("fan-1: speed = 3")
    served.type("knob-1.turned=up")
    served.says("event_invalid")
    served.type("bell-1")
    served.says("no device bell-1 here")
    assert served.end() == 0


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
