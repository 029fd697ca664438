"""An API that answers what a test wants, and a person's configuration in a folder of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli import session

Said = tuple[int, str, str]


class Door:
    """What it was asked, and what it answers."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes, str]] = {}
        self.asked: list[tuple[str, bytes]] = []
        self.tokens: list[str] = []
        self.keys: list[str] = []
        self.url = ""

    def says(self, call: str, body: Any, status: int = 200) -> None:
        """Answer ``GET /path``, or ``GET /path?*`` whatever is asked there, with this JSON."""
        self.answers[call] = (status, json.dumps(body).encode(), "application/json")

    @property
    def calls(self) -> list[str]:
        return [call for call, _ in self.asked]


@pytest.fixture
def door() -> Iterator[Door]:
    yield from open_door()


@pytest.fixture
def other_door() -> Iterator[Door]:
    yield from open_door()


def open_door() -> Iterator[Door]:
    made = Door()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            call = f"{self.command} {self.path}"
            made.asked.append((call, self.rfile.read(size)))
            made.tokens.append(self.headers.get("authorization", ""))
            made.keys.append(self.headers.get("idempotency-key", ""))
            missing = {"error": {"code": "not_found", "message": f"{call}: nothing", "hint": "see the guide"}}
            none = (404, json.dumps(missing).encode(), "application/json")
            status, body, kind = made.answers.get(call) or made.answers.get(f"{call.partition('?')[0]}?*") or none
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    monkeypatch.setenv("FAIRLEAD_CONFIG", str(folder))
    for name in ("FAIRLEAD_URL", "FAIRLEAD_TOKEN", "FAIRLEAD_HOME"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def signed_in(door: Door) -> Door:
    session.keep(session.Session(door.url, token("ada"), "ada"))
    return door


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Return a function that runs words and returns exit code, stdout and stderr."""
    from fairlead.cli import main

    def run(*words: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main.main(words)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def token(user: str) -> str:
    """Return something of a token's shape, whose id is ``tok-USER``."""
    import base64

    claims = base64.urlsafe_b64encode(json.dumps({"jti": f"tok-{user}"}).encode()).decode().rstrip("=")
    return f"fl_e30.{claims}.x"
