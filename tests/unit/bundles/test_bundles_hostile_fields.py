"""Every field of a manifest takes hostile texts: each is refused by name or kept as plain data; nothing is run, opened
elsewhere or fetched.

S-02, S-13, S-24. A field that is new has to be added to ``PLACES``, which the last test compares with the structs.
"""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from tests.unit.bundles.test_bundles_archive import Raw, Zip

from fairlead.bundles.archive import unpack
from fairlead.bundles.check import Checked, check
from fairlead.bundles.manifest import AppManifest, ModelManifest
from fairlead.errors import Invalid
from fairlead.messages import ExampleSpec
from fairlead.modelserver.examples import body_of
from fairlead.sdk.files import File
from fairlead.sdk.inputs import signature_of

MODEL: dict[str, Any] = {"kind": "model", "name": "m", "run": {"entry": "model:M"}}
APP: dict[str, Any] = {"kind": "app", "name": "a", "run": {"entry": "app:app"}}
PROGRAMS: dict[str, Any] = {"kind": "app", "name": "a", "processes": {"web": ["python", "x.py"]}}
Place = Callable[[str], dict[str, Any]]
LEARNED = ("joblib", "sklearn", "torch", "onnx", "onnxruntime")


def within(base: dict[str, Any], path: str, make: Callable[[str], Any] = str) -> Place:
    """Return what puts a text at ``path`` of ``base``."""

    def place(text: str) -> dict[str, Any]:
        made: dict[str, Any] = copy.deepcopy(base)
        *above, last = path.split(".")
        here = made
        for part in above:
            here = here.setdefault(part, {})
        here[last] = make(text)
        return made

    return place


ROUTE = {"path": "/x", "entry": "predict"}
EXAMPLE = {"title": "One", "input": {"n": 1}}
DEVICE = {"type": "fan"}
NAMED: dict[str, Place] = {
    "kind": within(MODEL, "kind"),
    "name": within(MODEL, "name"),
    "version": within(MODEL, "version"),
    "resources.gpu": within(MODEL, "resources.gpu"),
    "access.visibility": within(MODEL, "access.visibility"),
    "run.runtime": within(MODEL, "run.runtime"),
    "run.artifact": within(MODEL, "run", lambda text: {"runtime": "onnx", "artifact": text}),
    "run.entry": within(MODEL, "run.entry"),
    "run.python": within(MODEL, "run.python"),
    "run.requires (a file)": within(MODEL, "run.requires"),
    "run.requires (a list)": within(MODEL, "run.requires", lambda text: [text]),
    "run.env (a name)": within(MODEL, "run.env", lambda text: {text: "x"}),
    "run.secrets": within(MODEL, "run.secrets", lambda text: [text]),
    "routes.path": within(MODEL, "routes", lambda text: [ROUTE | {"path": text}]),
    "routes.methods": within(MODEL, "routes", lambda text: [ROUTE | {"methods": [text]}]),
    "routes.entry": within(MODEL, "routes", lambda text: [ROUTE | {"entry": text}]),
    "routes.produces": within(MODEL, "routes", lambda text: [ROUTE | {"produces": text}]),
    "run.web": within(APP, "run", lambda text: {"entry": "app:app", "web": text}),
    "processes (a name)": within(PROGRAMS, "processes", lambda text: {text: ["python"]}),
    "models (a role)": within(APP, "models", lambda text: {text: "m"}),
    "models": within(APP, "models", lambda text: {"m": text}),
    "devices (a role)": within(APP, "devices", lambda text: {text: DEVICE}),
    "devices.type": within(APP, "devices", lambda text: {"d": {"type": text}}),
    "devices.count": within(APP, "devices", lambda text: {"d": DEVICE | {"count": text}}),
    "devices.tier": within(APP, "devices", lambda text: {"d": DEVICE | {"tier": text}}),
    "params (a name)": within(APP, "params", lambda text: {text: {"type": "string"}}),
    "params (a keyword)": within(APP, "params", lambda text: {"p": {"type": "string", text: 1}}),
    "params (a type)": within(APP, "params", lambda text: {"p": {"type": text}}),
    "params (a reference)": within(APP, "params", lambda text: {"p": {"$ref": text}}),
}
"""What names something: a text that is no such name is refused, by the name of the field."""
SAID: dict[str, Place] = {
    "summary": within(MODEL, "summary"),
    **{
        f"card.{name}": within(MODEL, f"card.{name}")
        for name in ("license", "paper", "huggingface", "abstract", "task", "base_model", "homepage")
    },
    **{f"card.{name}": within(MODEL, f"card.{name}", lambda text: [text]) for name in ("authors", "tags", "datasets")},
    "card.scores (a name)": within(MODEL, "card.scores", lambda text: {text: 1.0}),
    "run.env": within(MODEL, "run.env", lambda text: {"WORD": text}),
    "examples.title": within(MODEL, "examples", lambda text: [EXAMPLE | {"title": text}]),
    "examples.input": within(MODEL, "examples", lambda text: [EXAMPLE | {"input": {"n": text}}]),
    "examples.expect": within(MODEL, "examples", lambda text: [EXAMPLE | {"expect": text}]),
    "processes": within(PROGRAMS, "processes", lambda text: {"web": ["python", text]}),
    "params (a default)": within(APP, "params", lambda text: {"p": {"type": "string", "default": text}}),
}
"""What people or programs of the bundle's own read: kept as it is, or refused for a character that forges lines."""
PLACES = NAMED | SAID

SHELL = (
    "$(touch {canary})",
    "`touch {canary}`",
    "x;touch {canary}",
    "x\ntouch {canary}",
    "x|touch {canary}",
    "x && touch {canary}",
    "--flag={canary}",
    "-rf",
    "a 'b\" c",
    "ｎａｍｅ x",
    "x\u202ey",
    "x\u0000y",
    "x\x1b[2J",
    "{{7*7}}${{7*7}}%(x)s",
)
PATHS = (
    "../x",
    "/etc/passwd",
    "a/../../x",
    "..\\x",
    "%2e%2e%2fx",
    "#/../x",
    "file:///etc/passwd",
    "C:/x",
    "\uff0e\uff0e/x",
    "~/x",
    "a\u0000b",
    "./" * 2048 + "x",
    "x" * 4096,
)
URLS = (
    "http://{host}/x",
    "HtTp://{host}/x",
    "http://{host}/%2e%2e/x",
    "http://{host}/../x",
    "http://user@{host}/x",
    "http://example.org@{host}/x",
    "//{host}/x",
    "file:///etc/passwd",
    "ftp://{host}/x",
    "git+http://{host}/x",
    "s3://{host}/x",
)


class Watch:
    """Notes what this process does that a look at a bundle must not: starting programs, connecting, importing it."""

    FORBIDDEN = ("system", "fork", "forkpty", "posix_spawn", "posix_spawnp", "execv", "execve", "popen")

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        for name in self.FORBIDDEN:
            patch.setattr(os, name, partial(self._note, name))
        patch.setattr(subprocess, "Popen", partial(self._note, "Popen"))
        patch.setattr(socket.socket, "connect", partial(self._note, "connect"))
        patch.setattr(socket, "getaddrinfo", partial(self._note, "getaddrinfo"))

    def _note(self, what: str, *arguments: object, **_: object) -> None:
        self.seen.append(f"{what} {arguments!r}"[:200])
        raise OSError(f"{what} is not for those who look at a bundle")


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@pytest.fixture
def listener() -> Iterator[tuple[str, socket.socket]]:
    """Somebody on loopback who would notice being called."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)
        yield f"127.0.0.1:{sock.getsockname()[1]}", sock


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def look(folder: Path, manifest: dict[str, Any], watch: Watch) -> Checked:
    """Return what a look at a bundle with this manifest tells; nothing of it was run."""
    folder.mkdir(exist_ok=True)
    text = "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in manifest.items())
    (folder / "fairlead.toml").write_text(text, encoding="utf-8")
    for name in ("model.py", "app.py"):
        (folder / name).write_text("M = app = None\nraise SystemExit('imported')\n")
    before = set(sys.modules)
    try:
        return check(folder)
    finally:
        assert watch.seen == []
        assert not {"model", "app", *LEARNED} & (set(sys.modules) - before)


def field_of(place: str) -> str:
    return place.partition(" (")[0]


def is_about(problem_path: str, place: str) -> bool:
    """Whether a problem names the field, or what is within it (``routes.0.path`` for ``routes.path``)."""
    words = [word for word in problem_path.split(".") if not word.isdigit()]
    return words[0] == field_of(place).split(".")[0] and (
        field_of(place).startswith(".".join(words[:2])) or ".".join(words).startswith(field_of(place).split(".")[0])
    )


def refused(checked: Checked, place: str, text: str) -> None:
    assert checked.problems, (place, text[:80])
    assert is_about(checked.problems[0].path, place), (place, text[:80], checked.problems)
    with pytest.raises(Invalid) as caught:
        checked.require()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 1000


def kept(checked: Checked, place: str, text: str) -> None:
    """Check that ``text`` is told as wrong at its field, or stands in the manifest as it was written."""
    if checked.problems:
        refused(checked, place, text)
    else:
        assert checked.manifest is not None
        assert text in texts(msgspec.to_builtins(checked.manifest)), (place, text)


def texts(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return set().union(value, *map(texts, value.values()))
    return set().union(*map(texts, value)) if isinstance(value, list | tuple) else set()


@pytest.mark.parametrize("place", PLACES)
def test_s13_a_manifests_texts_are_data_and_never_reach_a_shell(tmp_path: Path, place: str, watch: Watch) -> None:
    canary = tmp_path / "canary"
    for hostile in SHELL:
        text = hostile.replace("{canary}", str(canary))
        checked = look(tmp_path / "b", PLACES[place](text), watch)
        (refused if place in NAMED else kept)(checked, place, text)
    assert not canary.exists()


ROUTED = {"routes.path", "run.web"}
"""Paths of URLs: ``/etc/passwd`` is one like any other, and never looked for on a disk."""


@pytest.mark.parametrize("place", PLACES)
def test_s24_no_field_leads_out_of_the_bundle(tmp_path: Path, place: str, watch: Watch) -> None:
    for text in PATHS:
        checked = look(tmp_path / "b", PLACES[place](text), watch)
        if place in ROUTED and text == "/etc/passwd":
            kept(checked, place, text)
        else:
            (refused if place in NAMED else kept)(checked, place, text)


@pytest.mark.parametrize("place", PLACES)
def test_s02_no_field_takes_a_url_that_is_fetched(
    tmp_path: Path, place: str, watch: Watch, listener: tuple[str, socket.socket]
) -> None:
    host, sock = listener
    for hostile in URLS:
        text = hostile.replace("{host}", host)
        checked = look(tmp_path / "b", PLACES[place](text), watch)
        (refused if place in NAMED else kept)(checked, place, text)
    with pytest.raises(BlockingIOError):
        sock.accept()


@pytest.mark.parametrize(
    "requirement", ["x @ http://127.0.0.1/x.whl", "x @ file:///etc/passwd", "./x", "-r x", "x --index-url http://h"]
)
def test_s02_requirements_come_from_no_address(tmp_path: Path, requirement: str, watch: Watch) -> None:
    refused(look(tmp_path / "b", NAMED["run.requires (a list)"](requirement), watch), "run.requires", requirement)
    (tmp_path / "b" / "needs.txt").write_text(f"numpy\n{requirement}\n")
    checked = look(tmp_path / "b", NAMED["run.requires (a file)"]("needs.txt"), watch)
    assert [problem.line for problem in checked.problems] == [2]


PROGRAM_PATHS = ("../x", "/etc/passwd", "a/../../x", "./../x", "/proc/self/exe", "sub/missing", "/usr/bin/../../etc/x")


@pytest.mark.parametrize("program", PROGRAM_PATHS)
def test_s24_a_program_is_one_of_the_bundle_or_of_the_machine(tmp_path: Path, program: str, watch: Watch) -> None:
    manifest = within(PROGRAMS, "processes", lambda text: {"web": [text]})(program)
    refused(look(tmp_path / "b", manifest, watch), "processes", program)
    for good in ("python", "/usr/bin/env", "/bin/sh"):
        manifest = within(PROGRAMS, "processes", lambda text: {"web": [text]})(good)
        assert look(tmp_path / "b", manifest, watch).problems == ()


@pytest.mark.parametrize("place", ["run.artifact", "run.requires (a file)", "run.entry"])
def test_s24_a_link_within_the_bundle_leads_nowhere(tmp_path: Path, place: str, watch: Watch) -> None:
    (tmp_path / "secret").write_text("a secret\n")
    folder = tmp_path / "b"
    folder.mkdir()
    for name in ("link.txt", "link.py"):
        (folder / name).symlink_to(tmp_path / "secret")
    text = "link:M" if place == "run.entry" else "link.txt"
    checked = look(folder, NAMED[place](text), watch)
    assert any(problem.path in ("link.txt", "link.py") for problem in checked.problems), checked.problems
    assert "a secret" not in repr(checked)


def test_s24_a_link_within_an_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "b.zip"
    file.write_bytes(Zip([Raw(b"fairlead.toml"), Raw(b"weights.onnx", b"/etc/passwd", mode=0o120777)]).bytes())
    with pytest.raises(Invalid) as caught:
        unpack(file, tmp_path / "b")
    assert caught.value.problems[0].rule == "link"


def test_s24_an_example_names_no_file_outside_its_bundle(tmp_path: Path) -> None:
    def predict(file: File) -> int:
        raise NotImplementedError

    folder = tmp_path / "b"
    folder.mkdir()
    (tmp_path / "secret").write_text("a secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "good").write_text("own")
    signature = signature_of(predict)
    for text in ("../secret", str(tmp_path / "secret"), "link", "good/../../secret", "~/x"):
        body = body_of(ExampleSpec("t", {"file": text}, msgspec.UNSET), signature, folder)
        assert json.loads(body) == {"file": text}
    assert "data:" in json.loads(body_of(ExampleSpec("t", {"file": "good"}, msgspec.UNSET), signature, folder))["file"]


def leaves(kind: type, at: str = "") -> Iterator[str]:
    """Yield the path of every field of a manifest that holds a text."""
    for name, hint in get_type_hints(kind).items():
        path = f"{at}.{name}" if at else name
        parts = [hint, *get_args(hint), *(inner for one in get_args(hint) for inner in get_args(one))]
        tables = [one for one in parts if isinstance(one, type) and issubclass(one, msgspec.Struct)]
        if tables:
            yield from leaves(tables[0], path)
        elif any(one is str or get_origin(one) is Literal or one is Any for one in parts) or hint is Any:
            yield path


def test_s13_every_field_that_holds_a_text_is_tried() -> None:
    found = {*leaves(ModelManifest), *leaves(AppManifest)}
    assert found - {field_of(place) for place in PLACES} == set()
    assert len(found) > 30
