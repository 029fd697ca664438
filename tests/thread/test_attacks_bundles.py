"""Hostile bundles from push to removal: archives, pickles, greed, and what control does while it takes them in.

Ids in names: the list of attacks. The town is the one of ``town.py``.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import shutil
import signal
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.thread.rig import LATE_S, until
from tests.thread.town import HIDDEN, MODEL, MODEL_CODE, Town, ask, level, predict, town
from tests.unit.bundles.test_bundles_archive import HOSTILE

from fairlead.bundles import archive
from fairlead.bundles import pack as packing
from fairlead.supervisor import logfile, strays

__all__ = ["level", "town"]
pytestmark = pytest.mark.timeout(300)
QUICK_S = 10.0
MORE_BYTES = 64 * 1024**2
LEARNED = ("joblib", "sklearn", "torch", "onnx", "onnxruntime", "skl2onnx", "pandas", "scipy", "safetensors")


def push(town: Town, content: bytes, who: str = "ada", **params: str) -> httpx.Response:
    headers = {"content-type": "application/zip"}
    return town.call("POST", "/api/v1/bundles", who, content=content, headers=headers, params=params, timeout=60)


def zipped(files: dict[str, bytes]) -> bytes:
    import io

    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return buffer.getvalue()


def small(name: str, code: str = "def predict(n: int) -> int:\n    return n + 1\n", more: str = "") -> bytes:
    manifest = f'kind = "model"\nname = "{name}"\n[run]\nruntime = "python"\nentry = "model:predict"\n{more}'
    return zipped({"fairlead.toml": manifest.encode(), "model.py": code.encode()})


def listed(town: Town) -> tuple[list[str], list[str]]:
    rooms = (town.home.bucket, town.home.bundles, town.home.keeper / "incoming")
    files = [str(file) for room in rooms for file in sorted(room.rglob("*"))]
    return files, [model["name"] for model in town.api("GET", "/models")["items"]]


def test_s30_every_hostile_archive_is_refused_soon_and_leaves_nothing(town: Town) -> None:
    """S-30: the whole list, at the live API: 422 with the rule, no file, no memory, no name of ours in the message."""
    control = psutil.Process(town.platform.pids()["control"])
    assert push(town, next(iter(HOSTILE.values()))[0].bytes()).status_code == 422
    before, memory = listed(town), control.memory_info().rss
    for case, (made, rule) in HOSTILE.items():
        content = made.bytes()
        began = time.monotonic()
        answer = push(town, content)
        took = time.monotonic() - began
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["problems"][0]["rule"]) == (422, "archive_refused", rule), case
        assert took < QUICK_S, (case, took)
        assert str(town.home.root) not in answer.text
        assert error["message"].isprintable(), case
    assert listed(town) == before
    assert control.is_running()
    assert control.memory_info().rss - memory < MORE_BYTES


@contextlib.contextmanager
def calling(town: Town, path: str, body: Any, who: str = "ada") -> Iterator[list[str]]:
    """Call all the while; what did not answer 200 and soon is in the list."""
    over, wrong, done = threading.Event(), [], threading.Event()

    def call() -> None:
        while not over.is_set():
            began = time.monotonic()
            answer = town.call("POST", path, who, json=body)
            done.set()
            if answer.status_code != 200 or time.monotonic() - began > QUICK_S:
                wrong.append(f"{answer.status_code} in {time.monotonic() - began:.1f} s: {answer.text[:200]}")

    thread = threading.Thread(target=call)
    thread.start()
    try:
        assert done.wait(LATE_S)
        yield wrong
    finally:
        over.set()
        thread.join()


def test_s33_a_flipped_bit_in_the_bucket_is_no_version_and_the_old_one_serves(town: Town) -> None:
    """S-33: the keeper compares what it unpacks with the digest that was pushed."""
    assert push(town, small("crisp")).status_code == 202
    town.wait_ready("models", "crisp", "ada")
    until(lambda: town.call("POST", "/v1/models/crisp/predict", "ada", json={"n": 1}).status_code == 200, "crisp", 60)
    keeper = town.platform.process
    assert keeper is not None
    with calling(town, "/v1/models/crisp/predict", {"n": 1}) as wrong:
        keeper.send_signal(signal.SIGSTOP)  # so that the bit flips before it looks
        try:
            before = set((town.home.bucket / "bundles").glob("*.zip"))
            assert push(town, small("crisp", "def predict(n: int) -> int:\n    return n + 2\n")).status_code == 202
            (stored,) = set((town.home.bucket / "bundles").glob("*.zip")) - before
            data = bytearray(stored.read_bytes())
            data[data.index(b"PK\1\2") - 5] ^= 1  # within the last file, before the directory
            stored.write_bytes(data)
        finally:
            keeper.send_signal(signal.SIGCONT)

        def failed() -> Any:
            newest = town.api("GET", "/models/crisp", "ada")["versions"][0]
            return newest if newest["status"] == "failed" else None

        error = until(failed, "the changed bundle is refused", 60)["error"]
    assert error["code"] == "bundle_corrupt", error
    assert wrong == []
    assert town.call("POST", "/v1/models/crisp/predict", "ada", json={"n": 1}).json() == 2
    assert not (town.home.bundles / stored.stem).exists()


# --- pickles (S-11) ---------------------------------------------------------------------------------------------------

PAYLOAD = """
import json, os, socket
def tried(what, *arguments):
    try:
        return f"done: {what(*arguments)}"
    except BaseException as error:
        return type(error).__name__
def connect(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        return port
def unix(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
def touch(path):
    with open(path, "a") as file:
        file.write("was here")
print("PICKLE " + json.dumps({
    "system": tried(os.system, "touch CANARY"),
    "canary": tried(touch, "CANARY"),
    "own bundle": tried(touch, os.path.join(os.getcwd(), "model.pkl")),
    "key": tried(lambda: open("KEYS").read()),
    "victim": tried(lambda: open("VICTIM").read()),
    "network": tried(connect, PORT),
    "control": tried(unix, "CONTROL"),
    "variables": sorted(name for name in os.environ if "SECRET" in os.environ[name] or "KEY" in name),
}), flush=True)
"""


class Evil:
    """A pickle that runs code where it is opened and then is a classifier like any other."""

    def __init__(self, code: str, estimator: Any) -> None:
        self.code, self.estimator = code, estimator

    def __reduce__(self) -> Any:
        return eval, (
            "(exec(code, {}), loads(data))[1]",
            {"code": self.code, "data": pickle.dumps(self.estimator), "loads": pickle.loads},
        )


def test_s11_what_a_pickle_runs_stays_in_the_sandbox(town: Town, level: str, tmp_path: Path) -> None:
    """S-11: weights that run code are taken in with a warning; nothing outside their own folder can be reached."""
    dummy = pytest.importorskip("sklearn.dummy")
    if level not in HIDDEN:
        pytest.skip(f"isolation here is only {level}")
    tmp_path.chmod(0o777)
    canary = tmp_path / "canary"
    victim = next(file for file in town.home.bundles.rglob("prowl.py"))
    words = {"CANARY": canary, "KEYS": town.home.keys / "current.pem", "VICTIM": victim, "PORT": town.platform.port}
    code = PAYLOAD.replace("CONTROL", str(town.home.control_socket))
    for word, value in words.items():
        code = code.replace(word, str(value)) if word != "KEYS" else code.replace('"KEYS"', f'"{value}"')
    estimator = dummy.DummyClassifier(strategy="most_frequent").fit([[0.0], [1.0]], ["no", "no"])
    manifest = 'kind = "model"\nname = "evil"\n[run]\nruntime = "sklearn"\nartifact = "model.pkl"\ncompile = false\n'
    manifest += 'requires = ["scikit-learn==1.7.2"]\n'
    pushed = push(town, zipped({"fairlead.toml": manifest.encode(), "model.pkl": pickle.dumps(Evil(code, estimator))}))
    assert pushed.status_code == 202, pushed.text
    assert "pickle_weights" in str(pushed.json()["warnings"]) or "may run code" in str(pushed.json()["warnings"])
    town.wait_ready("models", "evil", "ada")
    row = {"x": [0.5]}  # ready is told before the front door leads there
    until(lambda: town.call("POST", "/v1/models/evil/predict", "ada", json=row).status_code == 200, "it answers")

    def told() -> list[dict[str, Any]]:
        lines = [line["said"] for line in town.api("GET", "/logs?of=evil", "ada")["items"]]
        return [json.loads(line.partition("PICKLE ")[2]) for line in lines if "PICKLE {" in line]

    for found in until(told, "the pickle told how it went"):
        denied = ("canary", "own bundle", "key", "victim", "network", "control")
        assert all(found[what] in ("PermissionError", "FileNotFoundError", "OSError") for what in denied), found
        assert found["system"] != "done: 0", found
        assert found["variables"] == []
    assert not canary.exists()
    assert town.call("DELETE", "/api/v1/models/evil", "ada").status_code < 300


def test_s12_control_runs_nothing_of_what_is_pushed(town: Town, tmp_path: Path) -> None:
    """S-12: over ten pushes control starts no program, maps and imports nothing of theirs, and no library for models."""
    control = psutil.Process(town.platform.pids()["control"])
    code = "raise SystemExit('imported by control')\ndef predict(n: int) -> int:\n    return n\n"
    traced = tmp_path / "trace"
    with tracing(control.pid, traced):
        for number in range(10):
            more = 'requires = ["scikit-learn==1.7.2"]\n' if number % 3 == 0 else ""
            assert push(town, small(f"inert-{number}", f"# {number}\n{code}", more)).status_code == 202
            assert town.call("POST", f"/v1/models/inert-{number}/jobs", "ada", json={"n": 1}).status_code < 504
            town.call("GET", f"/v1/models/inert-{number}/docs", "ada")
    for number in range(10):
        assert town.call("DELETE", f"/api/v1/models/inert-{number}", "ada").status_code < 300
    mapped = {mapping.path for mapping in control.memory_maps(grouped=True)}
    assert control.is_running()
    for path in mapped:
        assert not path.startswith(str(town.home.root)) or "sqlite3" in path, path
        assert not any(f"/site-packages/{name}" in path for name in (*LEARNED, "numpy")), path
    for file in control.open_files():
        assert not Path(file.path).is_relative_to(town.home.bundles), file
    if traced.exists():
        calls = traced.read_text(errors="replace")
        assert "openat(" in calls, "nothing was traced"
        assert not re.search(r"\b(execve|execveat)\(", calls)
        assert not re.search(rf"/site-packages/({'|'.join((*LEARNED, 'numpy'))})/", calls)
        assert "__pycache__" not in "".join(line for line in calls.splitlines() if str(town.home.root) in line)
        assert set(re.findall(r"sa_family=(\w+)", calls)) <= {"AF_UNIX", "AF_INET", "AF_UNSPEC"}
        assert all(host == "127.0.0.1" for host in re.findall(r'inet_addr\("([\d.]+)"\)', calls))


@contextlib.contextmanager
def tracing(pid: int, file: Path) -> Iterator[None]:
    """Write the programs, files and connections that a process asks for to ``file``, where strace can be had."""
    if shutil.which("strace") is None:
        yield
        return
    words = ["strace", "-f", "-p", str(pid), "-o", str(file), "-e", "trace=openat,open,execve,execveat,connect"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        attached = tracer.stderr.readline()
        try:
            if "attached" not in attached:
                pytest.skip(f"strace: {attached.strip()}")
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(LATE_S)


# --- greed (S-62, S-63) -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def greedy(town: Town) -> Town:
    """The town with one more hostile model, which others' tests do not need."""
    manifest = MODEL.format(name="greedy", visibility="team").replace("[run]", "[run]\ntimeout_s = 120")
    manifest += "\n[resources]\nmemory_mb = 2048\n"  # hundreds of processes fit: what ends a fork bomb is their number
    town.push("ada", "greedy", manifest, model=MODEL_CODE)
    town.wait_ready("models", "greedy", "ada")
    until(lambda: predict(town, "greedy", "ada").status_code == 200, "greedy answers", 120)
    return town


def tried(town: Town, *tries: list[Any]) -> list[str]:
    answer = predict(town, "greedy", "ada", tries, timeout=150)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    return list(json.loads(said if isinstance(said, str) else said["answer"]))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (["descriptors", 100_000], "EMFILE"),
        (["allocate", 10 * 1024**3], "MemoryError"),
        (["fork_bomb", 2000], "EAGAIN"),
        (["spin", 3], "done: None"),
    ],
)
def test_s62_greed_ends_at_its_bound_and_others_notice_nothing(
    greedy: Town, level: str, what: list[Any], said: str
) -> None:
    """S-62: descriptors, memory, processes, processor: an error within the bundle; the victim answers all the while."""
    if level != "full":
        pytest.skip(f"isolation here is only {level}")
    with calling(greedy, "/v1/models/victim/predict", {"tries": "[]"}) as wrong:
        assert tried(greedy, what) == [said]
    assert wrong == []
    assert tried(greedy, ["self"])[0].startswith("done")


def test_s62_a_flood_of_words_leaves_a_bounded_log(greedy: Town) -> None:
    """S-62: 200 MB printed: what is kept is bounded, and the platform is well."""
    size = 200 * 1024**2
    with calling(greedy, "/v1/models/victim/predict", {"tries": "[]"}) as wrong:
        assert tried(greedy, ["print", size]) == [f"done: {size}"]
    assert wrong == []

    def is_cut() -> bool:
        kept.clear()
        kept.update({file.name: file.stat().st_size for file in greedy.home.logs.glob("greedy-*/*")})
        return sum(kept.values()) < 3 * logfile.LIMIT_BYTES

    kept: dict[str, int] = {}
    try:
        until(is_cut, "its log is cut", 60)
    except AssertionError as error:
        raise AssertionError(f"{error}: {kept}") from error


def test_s62_nothing_outlives_the_removal_of_its_bundle(greedy: Town) -> None:
    """S-62: a process that forked twice, left its session and hears no SIGTERM ends with its model."""
    before = set(strays.find(strays.home_id(greedy.platform.home)))
    greedy.push("ada", "daemon", MODEL.format(name="daemon", visibility="team"), model=MODEL_CODE)
    greedy.wait_ready("models", "daemon", "ada")
    until(lambda: predict(greedy, "daemon", "ada").status_code == 200, "it answers", 120)
    answer = predict(greedy, "daemon", "ada", [["daemon"], ["daemon"]])
    assert answer.text.count("done") == 2, answer.text
    bundle = str(greedy.home.bundles)

    def its_own() -> list[psutil.Process]:
        return [one for one in psutil.process_iter() if is_of(one, "/daemon-", bundle)]

    assert len(its_own()) >= 3, "zygote, replica and what it left"
    assert greedy.call("DELETE", "/api/v1/models/daemon", "ada").status_code < 300
    until(lambda: not its_own(), "its processes are gone", 60)
    assert greedy.platform.process is not None
    assert set(strays.find(strays.home_id(greedy.platform.home))) - before - _known(greedy) == set()


def _known(town: Town) -> set[int]:
    return set(town.platform.pids().values())


def is_of(process: psutil.Process, zygote: str, bundles: str) -> bool:
    """Whether a process was made by the zygote of a model, by the private folder in its environment."""
    try:
        return zygote in process.environ().get("TMPDIR", "") and bundles.rpartition("/")[0] in str(process.environ())
    except psutil.Error:
        return False


def test_s63_caches_that_are_shared_cannot_be_poisoned(town: Town, level: str) -> None:
    """S-63: environments, compiled programs and installers' caches: no write, no link; the victim stays what it was."""
    if level not in HIDDEN:
        pytest.skip(f"isolation here is only {level}")
    home = town.home
    digest = town.api("GET", "/models/victim", "ada")["versions"][0]["digest"].rpartition(":")[2]
    caches = [Path.home() / ".cache" / name for name in ("uv", "pip")]
    environments = [one for one in home.environments.iterdir() if one.is_dir()]
    assert environments
    spots = [home.bundles / "x", home.environments / "x", home.compiled / "x", home.bundles / digest / "prowl.py"]
    spots += [one / "x" for one in caches]
    spots += [folder / "x.pth" for one in environments for folder in one.glob("lib/python*/site-packages")]
    for where in ("hostile", "page"):
        for spot in spots:
            said = ask(
                town,
                where,
                ["write", str(spot)],
                ["symlink", "/etc/passwd", str(spot)],
                ["move_in", "/etc/passwd", str(spot)],
                ["hard_link", str(home.bundles / digest / "prowl.py"), str(spot)],
            )
            assert set(said) <= {"EACCES", "EROFS", "ENOENT", "EPERM", "EXDEV", "EEXIST"}, (where, spot, said)
    folder = home.bundles / digest
    assert archive.digest(packing.files(folder, everything=True)) == digest
    assert predict(town, "victim", "ada").status_code == 200
