"""F-14: whatever is wrong with a pushed version, it fails alone: with a reason, once, and the old one goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.thread import kit
from tests.thread import load as loads
from tests.thread.callers import Callers
from tests.thread.rig import Platform, platform, until

from fairlead.bundles.pack import pack

pytestmark = pytest.mark.timeout(300)
CODE = """
import os
import fairlead


class M(fairlead.Model):
    def load(self) -> None:
        {load}

    def predict(self, n: int) -> dict[str, int]:
        return {{"n": n, "pid": os.getpid(), "of": {of}}}
"""
SCALE = "[scale]\nmin = 1\n"
QUIET_S = 6.0
"""So long nothing may be tried again."""


@pytest.fixture(scope="module")
def house() -> Iterator[Platform]:
    with platform() as made:
        yield made


@pytest.fixture
def folder(house: Platform, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of a model whose version 1 serves."""
    made = kit.model(tmp_path / f"m-{abs(hash(request.node.name)) % 10**8}", CODE.format(load="pass", of=1), SCALE)
    house.ok("push", str(made))
    return made


def upload(house: Platform, content: bytes, **headers: str) -> httpx.Response:
    with house.client() as client:
        sent = {"Content-Type": "application/zip"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post("/api/v1/bundles", content=content, headers=sent)


def goes_on(house: Platform, name: str, callers: Callers) -> None:
    """Version 1 holds production, and it alone has answered, every call."""
    view = house.get(f"/models/{name}")
    assert [target["version"] for target in view["aliases"]["production"]] == ["1"]
    assert len(callers.calls) > 20
    assert callers.failed() == []
    with house.client() as client:
        assert client.post(f"/v1/models/{name}/predict", json={"n": 1}).json()["of"] == 1


def packed(folder: Path) -> bytes:
    kit.model(folder, CODE.format(load="pass", of=2), SCALE)
    archive = folder.with_suffix(".zip")
    pack(folder, archive)
    return archive.read_bytes()


def _flipped(content: bytes) -> bytes:
    at = content.index(b"model.py") + 60  # in the packed bytes of the file
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("spoil", "headers", "codes"),
    [
        (_flipped, {}, {"archive_refused"}),
        (lambda content: content[: len(content) // 2], {}, {"archive_refused"}),
        (lambda content: content, {"Content_Digest": f"sha-256=:{'A' * 43}=:"}, {"digest_mismatch"}),
    ],
    ids=["corrupt", "truncated", "wrong hash"],
)
def test_f14_an_archive_that_is_not_whole_becomes_no_version(
    house: Platform, folder: Path, spoil: Callable[[bytes], bytes], headers: dict[str, str], codes: set[str]
) -> None:
    """F-14: corrupt, truncated, another hash than announced: refused with why, and there is no version 2. (One that is
    changed in the bucket later: test_s33_a_bundle_that_was_changed_in_the_bucket_is_not_loaded.)"""
    name = folder.name
    with Callers(house, name, 20) as callers:
        answer = upload(house, spoil(packed(folder)), **headers)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"] in codes) == (422, True), answer.text
        assert error["message"]
        assert error["hint"]
        until(lambda: len(callers.calls) > 20, "the old version answers")
        assert [one["version"] for one in house.get(f"/models/{name}")["versions"]] == ["1"]
        goes_on(house, name, callers)


BROKEN = {
    "missing entry point": ({"end": "\ndel M\n"}, "pass", "M", ""),
    "import error": ({}, "import nothing_of_that_name", "nothing_of_that_name", ""),
    "import error at the top": ({"top": "import nothing_of_that_name\n"}, "pass", "nothing_of_that_name", ""),
    "hangs on load": (
        {},
        "print('waiting', flush=True); import time; time.sleep(600)",
        "within 3 s",
        "start_timeout_s = 3",
    ),
    "ends on load": ({}, "print('bye', flush=True); os._exit(7)", "exit code 7", ""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_f14_a_version_that_does_not_load_fails_once_and_the_old_one_goes_on(
    house: Platform, folder: Path, what: str
) -> None:
    """F-14: ``failed`` with the reason and the last lines; the old version untouched; nothing is tried again."""
    more, load, said, keys = BROKEN[what]
    name = folder.name
    code = more.get("top", "") + CODE.format(load=load, of=2) + more.get("end", "")
    kit.model(folder, code, f"{keys}\n{SCALE}")
    with Callers(house, name, 20) as callers:
        done = house.cli("push", str(folder))
        assert (done.returncode, done.stdout) == (1, "")
        failed, first = house.get(f"/models/{name}")["versions"]
        assert (failed["version"], failed["status"], first["status"]) == ("2", "failed", "ready")
        assert said in failed["error"]["message"], failed
        assert failed["error"]["hint"]
        assert failed["last_lines"] or what == "missing entry point", failed  # no code of it failed: it said nothing
        tried, quiet = _tries(house, name), time.monotonic()
        until(lambda: time.monotonic() - quiet > QUIET_S or _again(_tries(house, name), tried), "a while")
        assert not _again(_tries(house, name), tried), "it was tried again"
        goes_on(house, name, callers)


def test_f14_an_entry_point_that_is_nowhere_is_refused_before_anything_is_built(house: Platform, folder: Path) -> None:
    """F-14: what can be seen without running it becomes no version at all."""
    name = folder.name
    kit.model(folder, CODE.format(load="pass", of=2), SCALE)
    manifest = folder / "fairlead.toml"
    manifest.write_text(manifest.read_text().replace("model:M", "model:Nobody"))
    archive = folder.with_suffix(".zip")
    pack(folder, archive)
    with Callers(house, name, 20) as callers:
        answer = upload(house, archive.read_bytes())
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bundle_invalid"), answer.text
        assert "Nobody" in answer.text
        until(lambda: len(callers.calls) > 20, "the old version answers")
        assert [one["version"] for one in house.get(f"/models/{name}")["versions"]] == ["1"]
        goes_on(house, name, callers)


def _tries(house: Platform, name: str) -> tuple[int, set[str], object]:
    """Return what a further attempt would change: replicas ever started, processes there, the version's own record."""
    processes = {known for known in house.pids() if known.startswith(name)}
    return loads.starts(house, name), processes, house.get(f"/models/{name}")["versions"][0]


def _again(now: tuple[int, set[str], object], before: tuple[int, set[str], object]) -> bool:
    """Whether something began; what is not needed any more may end."""
    return (now[0], now[2]) != (before[0], before[2]) or not now[1] <= before[1]
