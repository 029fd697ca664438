"""A platform under attack: its people, its devices, hostile models and apps, and the ways to call them."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.thread.rig import Platform, platform, until

from fairlead.bundles.pack import pack
from fairlead.messages import NodeWanted
from fairlead.settings import Home

PROWL = Path(__file__).with_name("prowl.py")

MODEL_CODE = """
import fairlead
import prowl


class Prowler(fairlead.Model):
    def predict(self, tries: str) -> str:
        return prowl.attempts(tries)
"""
_SITE = """
import fairlead
import prowl


async def site(scope, receive, send):
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    if scope["method"] == "POST":
        said = prowl.attempts(body.decode())
    else:
        said = prowl.json.dumps({name.decode(): value.decode() for name, value in scope["headers"]})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": said.encode()})


app = fairlead.App(web=site)
"""
_PROGRAM = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

import prowl


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(prowl.json.dumps(dict(self.headers)))

    def do_POST(self):
        self.answer(prowl.attempts(self.rfile.read(int(self.headers["content-length"])).decode()))

    def answer(self, said):
        self.send_response(200)
        self.send_header("content-length", str(len(said.encode())))
        self.end_headers()
        self.wfile.write(said.encode())


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Site).serve_forever()
"""


# --- the town ---------------------------------------------------------------------------------------------------------


@dataclass
class Town:
    """A platform, its people, and what they have put there."""

    platform: Platform
    folder: Path
    canaries: dict[str, str] = field(default_factory=dict)
    """Secrets that must appear nowhere, by what they are."""
    tokens: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    """Of devices."""
    heard: list[tuple[str, str]] = field(default_factory=list)
    """Every answer: the request and its text."""

    @property
    def home(self) -> Home:
        return Home(self.platform.home)

    def client(self, who: str = "admin") -> httpx.Client:
        made = self.platform.client(self.tokens[who] if who else "")
        made.event_hooks["response"].append(self._hear)
        return made

    def _hear(self, answer: httpx.Response) -> None:
        if "event-stream" not in answer.headers.get("content-type", ""):
            answer.read()
            self.heard.append((f"{answer.request.method} {answer.request.url.path}", answer.text))

    def call(self, method: str, path: str, who: str = "admin", **more: Any) -> httpx.Response:
        with self.client(who) as client:
            return client.request(method, path, **more)

    def api(self, method: str, path: str, who: str = "admin", **more: Any) -> Any:
        answer = self.call(method, f"/api/v1{path}", who, **more)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def new_token(self, user: str, roles: Sequence[str] = ()) -> tuple[str, str]:
        body = {"label": f"of {user} {secrets.token_hex(3)}", "user": user, "days": 1}
        made = self.api("POST", "/tokens", json=body | ({"roles": list(roles)} if roles else {}))
        return made["token"], made["id"]

    def push(self, who: str, name: str, manifest: str, **files: str) -> None:
        bundle = self.folder / name
        bundle.mkdir()
        (bundle / "fairlead.toml").write_text(manifest, encoding="utf-8")
        (bundle / "prowl.py").write_text(PROWL.read_text(encoding="utf-8"), encoding="utf-8")
        for file, text in files.items():
            (bundle / f"{file}.py").write_text(text, encoding="utf-8")
        archive = self.folder / f"{name}.zip"
        pack(bundle, archive)
        self.api(
            "POST",
            "/bundles",
            who,
            content=archive.read_bytes(),
            headers={"content-type": "application/zip"},
            timeout=60,
        )

    def wait_ready(self, kind: str, name: str, who: str) -> None:
        def is_ready() -> bool:
            newest = self.api("GET", f"/{kind}/{name}", who)["versions"][0]
            assert newest["status"] != "failed", newest
            return newest["status"] in ("ready", "sleeping")

        until(is_ready, f"{name} is ready", 120)

    def run_of(self, schedule: str) -> dict[str, Any]:
        return next(run for run in self.api("GET", "/runs?live=true")["items"] if run["schedule"] == schedule)


MODEL = """
kind = "model"
name = "{name}"
[run]
runtime = "python"
entry = "model:Prowler"
[access]
visibility = "{visibility}"
[[examples]]
title = "Nothing"
input = {{ tries = "[]" }}
"""
APP = """
kind = "app"
name = "{name}"
[run]
web = "/health"
{entry}
{more}
"""


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    """A platform with people, three hostile models and two hostile apps."""
    with ExitStack() as stack:
        running = stack.enter_context(platform())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        town = Town(running, folder)
        town.tokens |= {"admin": running.token, "": ""}
        admin_password = next(line for line in running.said if line.startswith("admin password: "))
        town.canaries["admin's password"] = admin_password.split()[2]
        people = {
            "ada": ["ai_developer", "app_developer"],
            "bob": ["user"],
            "aida": ["ai_developer"],
            "appo": ["app_developer"],
            "cora": ["configurer"],
        }
        for name, roles in people.items():
            town.canaries[f"{name}'s password"] = password = secrets.token_urlsafe(18)
            town.api("POST", "/users", json={"name": name, "roles": roles, "password": password})
            town.tokens[name] = town.new_token(name)[0]
        town.api("POST", "/locations", json={"path": "town/hall", "zone": "UTC"})
        for device, kind in {"t1": "temperature", "t2": "temperature", "fan-1": "fan"}.items():
            made = town.api("POST", "/devices", json={"id": device, "type": kind, "at": "town/hall"})
            town.canaries[f"password of {device}"] = town.passwords[device] = made["password"]
        _deploy(town)
        town.canaries |= {f"token of {name}": token for name, token in town.tokens.items() if token}
        wanted = msgspec.msgpack.decode((town.home.keeper / "wanted.msgpack").read_bytes(), type=NodeWanted)
        town.canaries |= {f"gate of {one.spec.name}": one.gate for one in wanted.versions}
        yield town


def _deploy(town: Town) -> None:
    town.push("ada", "hostile", MODEL.format(name="hostile", visibility="team"), model=MODEL_CODE)
    town.canaries["a secret of victim"] = secret = secrets.token_urlsafe(18)
    town.api("PUT", "/secrets/victim/KEY", "ada", json={"value": secret})
    private = MODEL.format(name="victim", visibility="private").replace("[run]", '[run]\nsecrets = ["KEY"]')
    town.push("ada", "victim", private, model=MODEL_CODE)
    town.push("ada", "open", MODEL.format(name="open", visibility="public"), model=MODEL_CODE)
    town.push("ada", "page", APP.format(name="page", entry='entry = "lobby:app"', more=""), lobby=_SITE)
    program = '[processes]\nweb = ["python", "lobby.py"]'
    town.push("ada", "program", APP.format(name="program", entry="", more=program), lobby=_PROGRAM)
    for name in ("hostile", "victim", "open"):
        town.wait_ready("models", name, "ada")
    town.api("PATCH", "/models/open", "cora", json={"visibility": "public"})
    for name in ("page", "program"):
        town.wait_ready("apps", name, "ada")
        town.api("POST", "/schedules", "ada", json={"app": name, "at": "town/hall", "name": name, "now": True})
    for name in ("hostile", "victim", "open"):
        until(lambda name=name: predict(town, name, "ada").status_code == 200, f"{name} answers", 120)
    for name in ("page", "program"):
        until(lambda name=name: _is_live(town, name), f"the run of {name} is ready", 120)


def _is_live(town: Town, schedule: str) -> bool:
    return any(
        run["schedule"] == schedule and run["status"] == "ready" for run in town.api("GET", "/runs?live=true")["items"]
    )


def predict(town: Town, model: str, who: str, tries: Sequence[Sequence[Any]] = (), **more: Any) -> httpx.Response:
    return town.call("POST", f"/v1/models/{model}/predict", who, json={"tries": json.dumps(list(tries))}, **more)


def ask(town: Town, where: str, *tries: Sequence[Any]) -> list[str]:
    """Have a bundle try things; returns how each ended. ``where``: hostile (a model), page or program (apps)."""
    if where == "hostile":
        answer = predict(town, where, "ada", tries)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        return list(json.loads(said if isinstance(said, str) else said["answer"]))
    host = f"{where}.apps.localhost:{town.platform.port}"
    answer = town.call("POST", "/", "ada", content=json.dumps(tries), headers={"host": host})
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, (answer.request.method, answer.request.url, answer.status_code, answer.text)
    if answer.request.method != "HEAD":
        error = answer.json()["error"]
        if isinstance(error, str):  # the Open Inference Protocol's errors are texts
            assert error
            assert answer.request.url.path.startswith("/v2")
            return
        assert error["code"] == code, (answer.request.method, str(answer.request.url), error)
        assert error["message"]


# --- bytes as they are ---------------------------------------------------------------------------------------------


def raw(town: Town, data: bytes, *, until_closed: bool = False) -> bytes:
    """Send bytes as they are; return all that comes back until the answer ends or the connection is closed."""
    with socket.create_connection(("127.0.0.1", town.platform.port), timeout=10) as sock:
        sock.sendall(data)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while chunk := sock.recv(65_536):
                answer += chunk
                if not until_closed and _is_whole(answer):
                    break
    return answer


def _is_whole(answer: bytes) -> bool:
    head, mark, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(mark) and (length is None or len(body) >= int(length[1]))


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [line, "host: x", "connection: close", *headers]
    if body or line.startswith("P"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def outcome(answer: bytes) -> tuple[int, str]:
    """Return status and code of an answer."""
    code = re.search(rb'"code": ?"(\w+)"', answer)
    return int(answer.split(b" ", 2)[1]) if answer else 0, code[1].decode() if code else ""


# --- from inside ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def level(town: Town) -> str:
    """The level of isolation that the platform claims."""
    return str(town.api("GET", "/system")["isolation"]["level"])


WHERE = ("hostile", "page", "program")
HIDDEN = {"full": {"ENOENT"}, "landlock": {"EACCES"}}


def fenced(level: str, what: Sequence[Any], said: str, *more: str) -> None:
    """Check that an attempt on something outside was refused as this level refuses it."""
    if level not in HIDDEN:
        pytest.skip(f"isolation here is only {level}")
    assert said in HIDDEN[level] | set(more), (what, said)
