"""``fairlead push`` of what is large: only what is missing is sent, and a cut connection costs what it cut off."""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli import sending, session
from fairlead.cli.api import Api, Refused
from fairlead.cli.commands import bundles

from .conftest import Said, token

WEIGHTS = random.Random(2).randbytes(5_000_000)
CHUNK = 1_000_000


class Platform:
    """Takes files one by one. ``cuts`` are bytes after which a connection is cut; ``plain`` refuses plans."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.halves: dict[str, bytearray] = {}
        self.wanted: list[dict[str, Any]] = []
        self.archives: list[bytes] = []
        self.calls: list[str] = []
        self.cuts: list[int] = []
        self.fails: list[int] = []
        self.sent = 0
        self.plain = False
        self.refuses: str | None = None

    def plan(self, listing: dict[str, Any]) -> dict[str, Any]:
        self.wanted = listing["files"]
        missing = [
            {**one, "offset": len(self.halves.get(one["sha256"], b"")), "url": ""}
            for one in self.wanted
            if one["sha256"] not in self.known
        ]
        rest = sum(one["size"] - one["offset"] for one in missing)
        total = sum(one["size"] for one in self.wanted)
        return {
            "digest": "",
            "total_bytes": total,
            "missing_bytes": rest,
            "chunk_bytes": CHUNK,
            "missing": missing,
        }


@pytest.fixture
def platform() -> Iterator[Platform]:
    made = Platform()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            made.calls.append(f"POST {self.path}")
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("/plan"):
                self.say(*((404, error("not_found")) if made.plain else (200, made.plan(json.loads(body)))))
                return
            if self.headers["content-type"] == "application/zip":
                made.archives.append(body)
            elif made.refuses:
                self.say(409, error(made.refuses))
                return
            answer = {"kind": "model", "name": "m", "version": "1", "digest": "", "status": "building"}
            self.say(202, {**answer, "url": "http://x/v1/models/m/predict", "warnings": []})

        def do_PATCH(self) -> None:
            made.calls.append("PATCH")
            content, length = self.path.rpartition("/")[2], int(self.headers["content-length"])
            half = made.halves.setdefault(content, bytearray())
            if made.fails:
                self.rfile.read(length)
                self.say(made.fails.pop(0), error("not_ready"))
                return
            assert int(self.headers["upload-offset"]) == len(half)
            most = min(length, made.cuts.pop(0)) if made.cuts else length
            while length and most:
                block = self.rfile.read(min(65_536, most))
                half += block
                made.sent += len(block)
                most -= len(block)
                length -= len(block)
            if length:
                self.close_connection = True
                return
            if len(half) == int(self.headers["upload-length"]):
                assert hashlib.sha256(half).hexdigest() == content
                made.known.add(content)
            self.say(204, None, {"Upload-Offset": str(len(half))})

        def do_HEAD(self) -> None:
            made.calls.append("HEAD")
            half = made.halves.get(self.path.rpartition("/")[2], b"")
            self.say(200, None, {"Upload-Offset": str(len(half))})

        def say(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            body = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    session.keep(session.Session(f"http://127.0.0.1:{server.server_port}", token("ada"), "ada"))
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_PAUSE_S", 0.001)


def error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": code, "hint": ""}}


def bundle(folder: Path, weights: bytes = WEIGHTS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "fairlead.toml").write_text('kind = "model"\nname = "m"\n[run]\nentry = "model:predict"\n')
    (folder / "model.py").write_text("def predict() -> int:\n    return 1\n")
    (folder / "weights.bin").write_bytes(weights)
    return folder


def push(cli: Callable[..., Said], folder: Path) -> str:
    code, out, err = cli("push", str(folder), "--no-wait")
    assert (code, out) == (0, "m@1 http://x/v1/models/m/predict\n"), err
    return err


def test_a_small_bundle_travels_whole(cli: Callable[..., Said], platform: Platform, tmp_path: Path) -> None:
    said = push(cli, bundle(tmp_path / "b", b"small"))

    assert platform.calls == ["POST /api/v1/bundles?alias=production"]
    assert re.search(r"sent \d+ bytes", said)


def test_of_a_large_one_what_is_missing_is_sent(cli: Callable[..., Said], platform: Platform, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    first = push(cli, folder)
    assert "sent 3 of 3 files" in first
    assert platform.archives == []
    (folder / "model.py").write_text("def predict() -> int:\n    return 2\n")
    platform.sent = 0

    said = push(cli, folder)

    assert "sent 1 of 3 files, 35 of 5,0" in said
    assert platform.sent == 35
    assert [one["path"] for one in platform.wanted] == ["fairlead.toml", "model.py", "weights.bin"]


def test_a_cut_connection_costs_what_it_cut_off(cli: Callable[..., Said], platform: Platform, tmp_path: Path) -> None:
    platform.cuts = [10**9, 10**9, 300_000, 0, 700_000]
    folder = bundle(tmp_path / "b")

    push(cli, folder)

    assert platform.sent == sum(path.stat().st_size for path in folder.iterdir())
    assert platform.calls.count("HEAD") == 3
    assert hashlib.sha256(WEIGHTS).hexdigest() in platform.known


def test_a_control_that_starts_again_is_waited_for(
    cli: Callable[..., Said], platform: Platform, tmp_path: Path
) -> None:
    """The front door answers so while control is away, 507 in the middle of a body."""
    platform.fails = [503, 502, 507, 429]

    push(cli, bundle(tmp_path / "b"))

    assert platform.calls.count("HEAD") == 4


def test_a_platform_that_is_gone_is_given_up_and_the_next_push_goes_on(
    cli: Callable[..., Said], platform: Platform, tmp_path: Path
) -> None:
    platform.cuts = [10**9, 10**9, 10**9, 10**9, 300_000, *[0] * 20]
    folder = bundle(tmp_path / "b")
    code, _, err = cli("push", str(folder), "--no-wait")
    assert (code, "unreachable" in err) == (6, True)
    platform.cuts = []

    push(cli, folder)

    assert platform.sent == sum(path.stat().st_size for path in folder.iterdir())


def test_stopped_by_hand_the_next_push_goes_on(
    cli: Callable[..., Said], platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bundle(tmp_path / "b")

    def stop(part: Any, size: int) -> None:
        part.at += size
        if part.at > 2_500_000:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sending._Progress, "add", stop)
        code, _, err = cli("push", str(folder), "--no-wait")
    assert (code, "goes on from there" in err) == (130, True)
    before = platform.sent

    push(cli, folder)

    assert before >= 2_000_000
    assert platform.sent < sum(path.stat().st_size for path in folder.iterdir()) + 100_000


@pytest.mark.parametrize("why", ["blob_missing", "bundle_corrupt", "files_missing"])
def test_where_an_earlier_bundle_is_lost_the_whole_is_sent(
    cli: Callable[..., Said], platform: Platform, tmp_path: Path, why: str
) -> None:
    platform.refuses = why

    said = push(cli, bundle(tmp_path / "b"))

    assert len(platform.archives) == 1
    assert "sending all of it" in said


def test_an_older_platform_gets_the_whole(cli: Callable[..., Said], platform: Platform, tmp_path: Path) -> None:
    platform.plain = True

    push(cli, bundle(tmp_path / "b"))

    assert len(platform.archives) == 1


def test_many_small_files_travel_together(cli: Callable[..., Said], platform: Platform, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b", b"")
    for index in range(200):
        (folder / f"{index}.bin").write_bytes(random.Random(index).randbytes(30_000))

    push(cli, folder)

    assert len(platform.archives) == 1
    assert "PATCH" not in platform.calls


def test_a_file_that_shrinks_meanwhile_is_told(
    cli: Callable[..., Said], platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bundle(tmp_path / "b")

    def shrink(part: Any, size: int) -> None:
        (folder / "weights.bin").write_bytes(b"")

    monkeypatch.setattr(sending._Progress, "add", shrink)
    code, _, err = cli("push", str(folder), "--no-wait")

    assert (code, "weights.bin changed while it was sent" in err) == (1, True)


def test_a_push_that_waits_for_the_keeper_ends_with_6() -> None:
    class Away(Api):
        def events(self, path: str, **params: Any) -> Iterator[tuple[str, Any]]:
            yield "step", {"said": "pushed"}
            yield "away", {"code": "keeper_gone", "message": "the keeper is gone", "hint": "what was pushed is kept"}

    with pytest.raises(Refused) as refused:
        bundles._follow(Away(session.Session("http://x", "", "")), "model", "m", "1")

    assert (refused.value.exit_code, refused.value.code) == (6, "keeper_gone")
    assert refused.value.message == "m@1 is pushed and waits: the keeper is gone"
