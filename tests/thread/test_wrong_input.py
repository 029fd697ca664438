"""What a person may do wrong, with real processes: each refusal says what, why and what next, and leaves nothing."""

from __future__ import annotations

import io
import json
import socket
import sqlite3
import stat
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.thread import kit
from tests.thread.rig import EXAMPLES, Platform, platform, until

REFUSED_S = 60.0
"""Longest until ``up`` has given up."""
BODY_MAX_BYTES = 2 * 1024**2


@pytest.fixture(scope="module")
def house() -> Iterator[Platform]:
    """A platform that takes small bodies only, with the example comfort."""
    with platform(start=False) as made:
        made.home.mkdir()
        (made.home / "settings.toml").write_text(f"body_max_bytes = {BODY_MAX_BYTES}\n")
        made.up()
        made.ok("push", str(EXAMPLES / "comfort"))
        yield made


@pytest.fixture
def fresh() -> Iterator[Platform]:
    """A platform that was never up."""
    with platform(start=False) as made:
        yield made


# --- up -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["--listen", "--devices"])
def test_a_port_in_use_is_named(fresh: Platform, door: str) -> None:
    port = {"--listen": fresh.port, "--devices": fresh.mqtt}[door]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        _refused(_up(fresh), 4, "port_in_use", f"{door} 127.0.0.1:{port}", hint=door)
    assert not fresh.home.exists()


def test_a_second_start_on_a_home_names_the_first(house: Platform) -> None:
    assert house.process is not None
    before = _files(house.home)
    _refused(_up(house, nothing_left=False), 4, "home_in_use", str(house.process.pid), hint="fairlead down")
    other = _up(house, "--listen", "127.0.0.1:1", "--devices", "127.0.0.1:2", nothing_left=False)
    _refused(other, 4, "home_in_use", str(house.process.pid), hint="--home")
    assert _files(house.home) == before
    assert _predict(house, "comfort", {"temperature": 30}).status_code == 200


def test_a_home_that_cannot_be_written_is_named(fresh: Platform) -> None:
    fresh.home.mkdir()
    with _mounted(fresh.home, "--bind", str(fresh.home)):
        _mount("-o", "remount,bind,ro", str(fresh.home))
        _refused(_up(fresh), 5, "home_read_only", str(fresh.home), hint="--home")
    assert _files(fresh.home) == {}


def test_a_home_without_room_is_named(fresh: Platform) -> None:
    fresh.home.mkdir()
    with _mounted(fresh.home, "-t", "tmpfs", "-o", "size=16m", "tmpfs"):
        _refused(_up(fresh), 6, "home_full", str(fresh.home), hint="free some space")
        assert _files(fresh.home) == {}


def test_a_home_of_a_newer_program_is_left_alone(fresh: Platform) -> None:
    fresh.home.mkdir()
    (fresh.home / "layout").write_text("99\n")
    _refused(_up(fresh), 4, "home_newer", "layout 99", hint="newer version")
    assert _files(fresh.home) == {"layout": b"99\n"}


def test_records_of_a_newer_program_are_left_alone(fresh: Platform) -> None:
    fresh.up()
    fresh.stop()
    records = fresh.home / "fairlead.sqlite3"
    with sqlite3.connect(records) as ledger:
        ledger.execute("update alembic_version set version_num = '9999'")
    ledger.close()
    _refused(_up(fresh), 4, "schema_newer", "9999", hint="newer")
    with sqlite3.connect(records) as ledger:
        assert ledger.execute("select version_num from alembic_version").fetchall() == [("9999",)]
    ledger.close()


def test_a_folder_with_other_things_is_no_home(fresh: Platform) -> None:
    fresh.home.mkdir()
    (fresh.home / "thesis.txt").write_text("twelve years")
    _refused(_up(fresh), 4, "home_not_empty", str(fresh.home), hint="--home")
    assert _files(fresh.home) == {"thesis.txt": b"twelve years"}


def test_a_program_that_is_missing_is_named(fresh: Platform) -> None:
    _refused(
        _up(fresh, NATS_SERVER_BIN="/nonexistent/nats-server"),
        6,
        "cannot_start",
        "/nonexistent/nats-server",
        hint="check",
    )
    assert fresh.up() > 0  # what was begun is no hindrance
    assert fresh.stop() == 0


def test_a_store_that_is_none_is_named(fresh: Platform) -> None:
    _refused(_up(fresh, "--store", "nonsense"), 5, "store_url", "store", hint="postgresql://")


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("--listen", "0.0.0.0:8080"), "insecure", "--listen 0.0.0.0:8080"),
        (("--listen", "8080"), "address_invalid", "--listen 8080"),
        (("--cert", "cert.pem"), "certificate", "--key"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(
    fresh: Platform, arguments: tuple[str, ...], code: str, named: str
) -> None:
    _refused(_up(fresh, *arguments), 5, code, named, hint="")
    assert not fresh.home.exists()


# --- bundles --------------------------------------------------------------------------------------------------------------

_FIVE_MISTAKES = """kind = "model"
name = "Bad Name"
[run]
runtime = "pytorch"
artefact = "model.bin"
timeout_s = "long"

[scale]
idle_s = 0
"""
_FIVE = {2: "name", 4: "run.runtime", 5: "run.artefact", 6: "run.timeout_s", 9: "scale.idle_s"}


def test_five_mistakes_are_told_at_once(house: Platform, tmp_path: Path) -> None:
    folder = kit.write(tmp_path / "five", {"fairlead.toml": _FIVE_MISTAKES})
    checked = house.cli("check", str(folder))
    assert checked.returncode == 5
    for line, path in _FIVE.items():
        assert f"fairlead.toml:{line} {path}: " in checked.stdout
    pushed = house.cli("push", str(folder))
    assert (pushed.returncode, pushed.stdout) == (5, "")
    for line, path in _FIVE.items():
        assert f"{path} (line {line}): " in pushed.stderr
    assert "did you mean" in pushed.stderr
    answer = _push(house, _zip({"fairlead.toml": _FIVE_MISTAKES}))
    error = _error(answer, 422, "bundle_invalid")
    told = {problem["line"]: problem["path"] for problem in error["problems"]}
    assert told.items() >= _FIVE.items()
    assert all(problem["message"] for problem in error["problems"])


_LOAD = "import os, time\nimport fairlead\n\nclass M(fairlead.Model):\n    def load(self) -> None:\n{}\n\n    def predict(self) -> int:\n        return 1\n"


@pytest.mark.parametrize(
    ("name", "load", "more", "said"),
    [
        ("raises", "        raise RuntimeError('no such weights')", "", "no such weights"),
        ("quits", "        print('bye', flush=True); os._exit(7)", "", "exit code 7"),
        ("dies-later", "        print('it serves'); 'FAIRLEAD_INSPECT' in os.environ or os._exit(7)", "", "exit 7"),
        ("hangs", "        print('waiting', flush=True); time.sleep(600)", "start_timeout_s = 3", "within 3 s"),
    ],
)
def test_a_model_that_does_not_load_fails_its_push(
    house: Platform, tmp_path: Path, name: str, load: str, more: str, said: str
) -> None:
    folder = kit.model(tmp_path / name, _LOAD.format(load), more)
    done = house.cli("push", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {name}@1 failed: " in done.stderr
    assert said in done.stderr
    assert "  hint: " in done.stderr
    assert "  | " in done.stderr, "the last lines are missing"
    view = house.get(f"/models/{name}")
    assert [(one["status"], one["error"]["code"]) for one in view["versions"]] != [("failed", "version_failed")]
    assert view["aliases"] == {}
    _error(_predict(house, name, {}), 503, "model_not_ready", named=name)
    until(lambda: not [record for record in house.pids() if record.startswith(name)], "no process is left")
    until(lambda: not list((house.home / "scratch").glob("look-*")), "what was made for the look is gone")


def test_an_artifact_that_is_none_fails_its_push(house: Platform, tmp_path: Path) -> None:
    manifest = 'kind = "model"\nname = "rubbish"\n[run]\nruntime = "sklearn"\nartifact = "model.joblib"\n'
    manifest += 'requires = ["scikit-learn==1.7.2"]\n'
    folder = kit.write(tmp_path / "rubbish", {"fairlead.toml": manifest, "model.joblib": "these are no weights"})
    done = house.cli("push", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: rubbish@1 failed: " in done.stderr
    assert "model.joblib" in done.stderr
    assert "  hint: " in done.stderr


def test_requirements_that_cannot_be_had_fail_the_push_by_name(house: Platform, tmp_path: Path) -> None:
    more = 'requires = ["scikit-learn==0.0.1"]'
    done = house.cli("push", str(kit.model(tmp_path / "needy", _LOAD.format("        pass"), more)))
    assert (done.returncode, done.stdout) == (1, "")
    assert "scikit-learn" in done.stderr
    assert "  hint: " in done.stderr


@pytest.mark.parametrize("what", ["junk", "cut off", "climbs", "absolute", "link", "twice", "bomb", "no manifest"])
def test_a_zip_that_is_none_or_hostile_is_refused_and_leaves_nothing(house: Platform, what: str) -> None:
    made = _HOSTILE[what]()
    before = _content(house)
    answer = _push(house, made)
    error = _error(answer, 422)
    assert error["code"] in ("archive_refused", "bundle_invalid"), error
    assert _content(house) == before
    assert not Path("/tmp/evil").exists()


def test_other_types_of_content_are_refused(house: Platform) -> None:
    with house.client() as client:
        headers = {"Content-Type": "application/x-tar"}
        _error(client.post("/api/v1/bundles", content=b"x", headers=headers), 415, named="application/x-tar")
        headers = {"Content-Type": "application/zip", "Content-Digest": "sha-256=:AAAA:"}
        _error(client.post("/api/v1/bundles", content=_zip({"a": "b"}), headers=headers), 422, "digest_mismatch")
        headers = {"Content-Type": "application/x-yaml"}
        _error(
            client.post("/v1/models/comfort/predict", content=b"a: 1", headers=headers), 415, "unsupported_media_type"
        )


# --- calls ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": None}, "temperature"),
        ({"temperature": 99}, "temperature"),
        ({"temperature": 20, "comfort_c": [1]}, "comfort_c"),
        ({"temperature": 20, "temprature": 20}, "temprature"),
        ([{"temperature": 20}, {"temperature": "hot"}], "[1].temperature"),
    ],
)
def test_a_body_that_is_not_as_the_signature_says_is_refused_with_its_path(
    house: Platform, body: object, path: str
) -> None:
    error = _error(_predict(house, "comfort", body), 422, "invalid_input", named=path)
    assert path in [problem["path"] for problem in error["problems"]]


def test_all_wrong_fields_are_told_at_once(house: Platform) -> None:
    body = {"temperature": "hot", "comfort_c": 1000, "humidity": 3}
    error = _error(_predict(house, "comfort", body), 422)
    assert {problem["path"] for problem in error["problems"]} == set(body)
    done = house.cli("predict", "comfort", "--json", json.dumps(body))
    assert (done.returncode, done.stdout) == (5, "")
    assert all(f"  {path}: " in done.stderr for path in body)


@pytest.mark.parametrize("body", [b"", b"{", b'{"temperature": 20', b"\xff\xfe", b"[" * 5000, b'"text"', b"7", b"null"])
def test_what_is_no_object_is_refused(house: Platform, body: bytes) -> None:
    with house.client() as client:
        headers = {"Content-Type": "application/json"}
        answer = client.post("/v1/models/comfort/predict", content=body, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    _error(answer, answer.status_code)


def test_a_body_beyond_the_limit_is_refused(house: Platform) -> None:
    body = b'{"temperature": ' + b" " * 2 * BODY_MAX_BYTES + b"20}"
    with house.client() as client:
        for path in ("/v1/models/comfort/predict", "/v1/models/comfort/jobs", "/api/v1/locations"):
            answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
            _error(answer, 413, "body_too_large")
    with house.client("") as client:  # in pieces, whose sum no header tells, and by nobody we know
        pieces = (b" " * 65536 for _ in range(100))
        answer = client.post("/api/v1/login", content=pieces, headers={"Content-Type": "application/json"})
        _error(answer, 413, "body_too_large")
    assert _predict(house, "comfort", {"temperature": 20}).status_code == 200


def test_a_bundle_may_be_larger_than_a_body(house: Platform) -> None:
    filler = "".join(chr(32 + n * 7919 % 95) for n in range(BODY_MAX_BYTES + 100_000))
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_STORED) as made:
        for name in ("fairlead.toml", "model.py"):
            text = (EXAMPLES / "comfort" / name).read_text().replace('"comfort"', '"comfort-large"')
            made.writestr(name, text)
        made.writestr("notes.txt", filler)
    answer = _push(house, buffer.getvalue())
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("ref", ["nobody", "comfort@nowhere", "comfort@9.9.9", "Comfort", "comfort@"])
def test_unknown_models_aliases_and_versions_are_not_found(house: Platform, ref: str) -> None:
    _error(_predict(house, ref, {"temperature": 20}), 404, named=ref)
    with house.client() as client:
        _error(client.post(f"/v1/models/{ref}/jobs", json={"temperature": 20}), 404)


def test_who_is_not_signed_in_is_told_how(house: Platform) -> None:
    for token in ("", "fl_nonsense", house.token[:-4] + "AAAA"):
        with house.client(token) as client:
            for path in ("/v1/models/comfort/predict", "/api/v1/models", "/api/v1/jobs"):
                answer = client.post(path, json={}) if path.endswith("predict") else client.get(path)
                error = _error(answer, 401, "token_invalid" if token else "token_required")
                assert "fairlead login" in error["hint"]


# --- the command line -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("predict",), 2, "--help"),
        (("models", "fly"), 2, "--help"),
        (("devices", "send", "lamp", "on"), 2, "name=value"),
        (("models", "show", "nobody"), 3, "nobody"),
        (("jobs", "show", "job-nothing"), 3, "job-nothing"),
        (("runs", "show", "run-nothing"), 3, "run-nothing"),
        (("devices", "show", "nothing"), 3, "nothing"),
        (("why", "nothing-of-the-kind"), 3, "nothing-of-the-kind"),
        (("apps", "run", "nobody", "--at", "nowhere"), 5, "nobody"),
        (("devices", "add", "d1", "--type", "spaceship", "--at", "moon"), 5, "spaceship"),
        (("schedules", "add", "nobody", "--at", "x", "--from", "25:00", "--to", "26:00"), 5, "25:00"),
        (("locations", "add", "Not A Place"), 5, "Not A Place"),
        (("locations", "add", "a/b", "--zone", "Mars/Olympus"), 5, "Mars/Olympus"),
        (("push", "/nonexistent"), 5, "/nonexistent"),
        (("models", "rollback", "comfort"), 4, "comfort"),
        (("models", "alias", "comfort", "production=7"), 3, "7"),
        (("predict", "comfort@nowhere", "--set", "temperature=20"), 3, "comfort@nowhere"),
        (("jobs", "submit", "nobody", "--set", "a=1"), 3, "nobody"),
    ],
)
def test_every_refusal_has_its_exit_code_names_the_thing_and_tells_what_next(
    house: Platform, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    done = house.cli(*arguments)
    assert done.returncode == exit_code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert said in done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "hint: " in done.stderr


def test_a_platform_that_is_not_there_and_a_person_who_is_not_signed_in(fresh: Platform) -> None:
    _refused(fresh.cli("models"), 4, "not_signed_in", "not signed in", hint="fairlead login")
    env = {"FAIRLEAD_URL": fresh.url, "FAIRLEAD_TOKEN": "fl_x"}
    _refused(fresh.cli("models", **env), 6, "unreachable", fresh.url, hint="fairlead up")
    done = fresh.cli("down", "--home", str(fresh.home))
    assert (done.returncode, fresh.home.exists()) == (0, False)


def test_who_waits_in_vain_is_told_the_time_is_over(house: Platform, tmp_path: Path) -> None:
    code = _LOAD.format("        pass").replace(
        "return 1", "[(fairlead.progress(1), time.sleep(0.05)) for _ in range(600)]"
    )
    house.ok("push", str(kit.model(tmp_path / "slow", code, "timeout_s = 40")))
    job = house.ok("jobs", "submit", "slow", "--body", "{}")
    _refused(house.cli("jobs", "wait", job, "--timeout", "1"), 7, "timed_out", job, hint="")
    house.ok("jobs", "cancel", job)


# --- what the tests share -------------------------------------------------------------------------------------------------


def _up(house: Platform, *more: str, nothing_left: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``up`` that must give up by itself."""
    doors = ("--listen", f"127.0.0.1:{house.port}", "--devices", f"127.0.0.1:{house.mqtt}")
    done = house.cli("up", "--home", str(house.home), *doors, *more, timeout_s=REFUSED_S, **env)
    if nothing_left:
        assert house.leftovers() == []
    return done


def _refused(done: subprocess.CompletedProcess[str], exit_code: int, code: str, named: str, *, hint: str) -> None:
    """Check a refusal of the command line: exit code, one sentence that names the thing, the hint and stable code."""
    said = done.stderr.splitlines()
    assert done.returncode == exit_code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    first = next((number for number, line in enumerate(said) if line.startswith("error: ")), None)
    assert first is not None, said
    assert named in said[first], said
    tail = said[-1]
    assert hint in tail, said
    assert f"({code}" in tail if code else tail.endswith(")"), said
    assert "hint: " in tail, said
    assert "Traceback" not in done.stderr


def _error(answer: httpx.Response, status: int, code: str = "", *, named: str = "") -> dict[str, object]:
    """Check a refusal over HTTP and return it."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    error = answer.json()["error"]
    assert error["code"], error
    assert code in ("", error["code"]), error
    assert named in error["message"], error
    assert error["hint"], error
    assert error["id"], error
    return dict(error)


def _predict(house: Platform, ref: str, body: object) -> httpx.Response:
    with house.client() as client:
        return client.post(f"/v1/models/{ref}/predict", json=body)


def _push(house: Platform, content: bytes) -> httpx.Response:
    with house.client() as client:
        return client.post("/api/v1/bundles", content=content, headers={"Content-Type": "application/zip"})


def _files(home: Path) -> dict[str, bytes]:
    """Return every file that a person or a refused start may have left (logs and ledgers of one that is up aside)."""
    moving = ("logs", "envoy", "bus", "keeper", "children", "scratch", "bucket", "environments", "bundles")
    return {
        str(file.relative_to(home)): file.read_bytes()
        for file in sorted(home.rglob("*"))
        if file.is_file() and file.relative_to(home).parts[0] not in moving and "sqlite3" not in file.name
    }


def _content(house: Platform) -> tuple[list[str], list[str]]:
    """Return what lies in bucket and bundles, and the names of all models."""
    files = [str(file) for room in ("bucket", "bundles") for file in sorted((house.home / room).rglob("*"))]
    return files, [model["name"] for model in house.get("/models")["items"]]


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount {' '.join(arguments)}: {done.stderr.strip()}")


@contextmanager
def _mounted(folder: Path, *arguments: str) -> Iterator[None]:
    _mount(*arguments, str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _zip(files: dict[str, str]) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            made.writestr(name, text)
    return buffer.getvalue()


def _good() -> dict[str, str]:
    return {name: (EXAMPLES / "comfort" / name).read_text() for name in ("fairlead.toml", "model.py")}


def _linked() -> bytes:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(buffer := io.BytesIO(_zip(_good())), "a") as made:
        made.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def _twice() -> bytes:
    one = _zip(_good() | {"a.txt": "1", "b.txt": "2"})
    return one.replace(b"b.txt", b"a.txt")


_HOSTILE: dict[str, Callable[[], bytes]] = {
    "junk": lambda: b"this is no zip" * 100,
    "cut off": lambda: _zip(_good())[:-40],
    "climbs": lambda: _zip(_good() | {"../../../../../../tmp/evil": "x"}),
    "absolute": lambda: _zip(_good() | {"/tmp/evil": "x"}),
    "link": _linked,
    "twice": _twice,
    "bomb": lambda: _zip(_good() | {"zeros": "0" * 50_000_000}),
    "no manifest": lambda: _zip({"model.py": "x = 1\n"}),
}
