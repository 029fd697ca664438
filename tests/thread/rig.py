"""A whole platform for a test: ``fairlead up`` as a person starts it, on ports and in a home of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
CHECKOUT = Path(__file__).parents[2]
EXAMPLES = CHECKOUT / "examples"
FAIRLEAD = str(Path(sys.executable).parent / "fairlead")
READY_S = 180.0
"""First starts build environments; on a busy machine that takes its time."""
STOP_S = 90.0
LATE_S = 30.0
"""Longest wait for something that should happen at once, on a machine that does other things too."""


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def until(look: Callable[[], T], what: str, timeout_s: float = LATE_S, every_s: float = 0.05) -> T:
    """Return the first true answer of ``look``; fails with its last answer after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s:g} s; last: {answer!r}")
        time.sleep(every_s)


class Platform:
    """One installation, up or down."""

    def __init__(self, home: Path, config: Path, ports: Sequence[int]) -> None:
        self.home, self.config = home, config
        self.port, self.mqtt = ports
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None
        self.said: list[str] = []
        self.complained: list[str] = []
        self.more_env: dict[str, str] = {}
        """Variables besides."""
        self._readers: list[threading.Thread] = []

    # --- life -------------------------------------------------------------------------------------------------------

    def up(self, *arguments: str, ready_s: float = READY_S) -> float:
        """Start and wait for ``ready``; return the seconds it took."""
        began = time.monotonic()
        self.begin(*arguments)

        def is_ready() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"up ended with {self.process.returncode}: {self.complained} {self.logs()}")
            return any(line.startswith("ready ") for line in self.said)

        try:
            until(is_ready, "up is ready", ready_s)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; said {self.said}; complained {self.complained[-20:]}; {self.logs()}"
            ) from error
        return time.monotonic() - began

    def begin(self, *arguments: str) -> None:
        """Start and wait for nothing."""
        self.said, self.complained = [], []
        self.process = subprocess.Popen(
            [FAIRLEAD, "up", "--home", str(self.home), "--listen", f"127.0.0.1:{self.port}"]
            + ["--devices", f"127.0.0.1:{self.mqtt}", *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for stream, lines in ((self.process.stdout, self.said), (self.process.stderr, self.complained)):
            reader = threading.Thread(target=_drain, args=(stream, lines), daemon=True)
            reader.start()
            self._readers.append(reader)

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it as a person does and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(STOP_S)
        self.process = None
        return code

    def down(self) -> str:
        """Stop whatever runs by ``fairlead down``."""
        done = self.cli("down", "--home", str(self.home))
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        if self.process is not None:
            self.process.wait(STOP_S)
            self.process = None
        return done.stdout

    def logs(self) -> dict[str, list[str]]:
        """Return the last lines of every log of the platform's programs."""
        return {
            file.name: file.read_text(errors="replace").splitlines()[-8:]
            for file in sorted((self.home / "logs").glob("*.log"))
        }

    def leftovers(self) -> list[str]:
        """Return processes of this installation that are still there."""
        from fairlead.supervisor import strays

        found = strays.find(strays.home_id(self.home))
        return [f"{pid} {_command(pid)}" for pid in found]

    # --- use --------------------------------------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
        own = {"FAIRLEAD_CONFIG": str(self.config), "FAIRLEAD_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
        own["FAIRLEAD_CARD_FACTS"] = "false"  # no test asks the world
        return kept | own | self.more_env

    def cli(
        self, *arguments: str, stdin: str = "", timeout_s: float = 180, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one command of the command line."""
        return subprocess.run(
            [FAIRLEAD, *arguments],
            env=self.env | env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def ok(self, *arguments: str, timeout_s: float = 180) -> str:
        """Run one command that must succeed; return its stdout."""
        done = self.cli(*arguments, timeout_s=timeout_s)
        assert done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr, self.logs())
        return done.stdout.strip()

    def view(self, *arguments: str) -> Any:
        """Return the JSON view that a command prints."""
        return json.loads(self.ok("--json", *arguments))

    @property
    def token(self) -> str:
        known = json.loads((self.config / "sessions.json").read_text())
        return str(known["sessions"][self.url]["token"])

    def client(self, token: str | None = None, timeout_s: float = 60) -> httpx.Client:
        """Return an HTTP client of the front door, signed in unless ``token`` is empty."""
        token = self.token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout_s, trust_env=False)

    def get(self, path: str, **params: Any) -> Any:
        with self.client() as client:
            answer = client.get(f"/api/v1{path}", params=params)
            assert answer.status_code == 200, (path, answer.status_code, answer.text)
            return answer.json()

    def pids(self) -> dict[str, int]:
        """Return the pid of every recorded child by name."""
        found = {}
        for file in (self.home / "children").glob("*.json"):
            try:
                record = json.loads(file.read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                continue
            found[record["name"]] = record["pid"]
        return found

    def pid_of(self, kind: str, model: str = "") -> int:
        """Return the pid of the zygote or replica of a model, or of a process of a run."""
        for file in (self.home / "children").glob("*.json"):
            try:
                record = json.loads(file.read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                continue
            labels = record.get("labels", {})
            if labels.get("kind") == kind and model in ("", labels.get("model")):
                return int(record["pid"])
        return 0


@contextmanager
def platform(*arguments: str, start: bool = True) -> Iterator[Platform]:
    """Yield a platform that is up; afterwards nothing of it is left."""
    root = Path(tempfile.mkdtemp(prefix="fl-"))  # short: sockets must fit into 107 bytes
    try:
        made = Platform(root / "home", root / "config", free_ports(2))
        if start:
            made.up(*arguments)
        try:
            yield made
        finally:
            if made.process is not None:
                made.process.send_signal(signal.SIGTERM)
                try:
                    made.process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    made.process.kill()
            if made.home.exists():
                made.cli("down", "--home", str(made.home))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _drain(stream: Any, lines: list[str]) -> None:
    with stream:
        for line in stream:
            lines.append(line.rstrip("\n"))


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:100]
    except FileNotFoundError:
        return ""
