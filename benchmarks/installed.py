"""A whole platform of its own for benchmarks: started, pushed to, called, measured, put to sleep and ended."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
from measure import free_port
from model_server import ROW, write_onnx
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from fairlead.keeper.bundles.prepare import Kept
from fairlead.settings import Home
from fairlead.store.records import Alias, Bundle, Model, ModelVersion
from fairlead.supervisor import proc

FAIRLEAD = str(Path(sys.executable).parent / "fairlead")
BODY = json.dumps({"x": ROW}).encode()
JSON = {"Content-Type": "application/json"}
END_S = 90.0


class Answer(NamedTuple):
    """What came of one call."""

    status: int
    body: bytes
    seconds: float


class Installed:
    """One ``fairlead up``; ``start`` and ``stop`` may take turns, the home stays."""

    def __init__(self, root: Path, settings: Mapping[str, str] | None = None) -> None:
        self.port, self.home = free_port(), Home(root / "home")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
        own = {"FAIRLEAD_CONFIG": str(root / "config"), "FAIRLEAD_HOME": str(self.home.root), "PYTHONUNBUFFERED": "1"}
        self.env = kept | own | dict(settings or {})
        self._devices = free_port()
        self._config = root / "config"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> float:
        """Start it and return how many seconds that took."""
        began = time.perf_counter()
        addresses = ["--listen", f"127.0.0.1:{self.port}", "--devices", f"127.0.0.1:{self._devices}"]
        self.process = subprocess.Popen(
            [FAIRLEAD, "up", "--home", str(self.home.root), *addresses],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ready "):
                return time.perf_counter() - began
        raise ChildProcessError(f"fairlead up ended with {self.process.wait()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(END_S)
            self.process = None

    @cached_property
    def token(self) -> str:
        known = json.loads((self._config / "sessions.json").read_text())
        return str(known["sessions"][f"http://127.0.0.1:{self.port}"]["token"])

    def push(self, folder: Path) -> None:
        done = subprocess.run([FAIRLEAD, "push", str(folder)], env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise ChildProcessError(f"push of {folder.name}: {done.stderr[-500:]}")

    def reached(self, folder: Path) -> float:
        """Push a bundle of a new model and return the seconds from the moment at which it was ready to its first answer
        at the front door, which is asked all the while."""
        name = folder.name
        pushed = subprocess.Popen([FAIRLEAD, "push", str(folder)], env=self.env, stdout=subprocess.DEVNULL)
        path = f"/v1/models/{name}/predict"
        self.until(lambda: self.ask("POST", path, BODY).status == 200, f"{name} answers")
        answered = time.time()
        if pushed.wait(END_S):
            raise ChildProcessError(f"push of {name} ended with {pushed.returncode}")
        version_of = json.loads(self.ask("GET", f"/api/v1/models/{name}/versions/1").body)
        return max(0.0, answered - datetime.fromisoformat(version_of["ready_at"]).timestamp())

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make one call on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=END_S)
        connection.connect()
        said = {"Authorization": f"Bearer {self.token}", **JSON, **(headers or {})}
        began = time.perf_counter()
        connection.request(method, path, body, said)
        answer = connection.getresponse()
        content = answer.read()
        took = time.perf_counter() - began
        connection.close()
        return Answer(answer.status, content, took)

    def predict(self, model: str, body: bytes = BODY) -> Answer:
        """Call a model; raises :class:`ConnectionError` for anything but a good answer."""
        answer = self.ask("POST", f"/v1/models/{model}/predict", body)
        if answer.status != 200:
            raise ConnectionError(f"{model} answered {answer.status}: {answer.body[:300]!r}")
        return answer

    def model(self, name: str) -> dict[str, Any]:
        """Return what the API tells of a model."""
        found: dict[str, Any] = json.loads(self.ask("GET", f"/api/v1/models/{name}").body)
        return found

    def rest(self, model: str) -> None:
        """Have a model sleep now, and return once its replicas are gone."""
        answer = self.ask("POST", f"/v2/repository/models/{model}/unload", b"{}")
        if answer.status >= 300:
            raise ConnectionError(f"{model}: unload answered {answer.status}: {answer.body[:300]!r}")
        self.until(lambda: not self.replicas(model), f"{model} sleeps")

    def replicas(self, model: str) -> list[int]:
        """Return the pids of its replicas, as the keeper knows them on disk."""
        return [
            pid for pid, labels in self._children() if labels.get("kind") == "replica" and labels.get("model") == model
        ]

    def wake(self, model: str, body: bytes = BODY, *, cold: bool = False) -> float:
        """Return a sleeping model's milliseconds to its first answer; ``cold``: its zygote ended before."""
        self.rest(model)
        if cold:
            self.cool(model)
        else:
            self.until(lambda: self.zygotes(model), f"{model} has a zygote")
        time.sleep(0.5)  # whoever calls a sleeping model does not come at the moment when it fell asleep
        return 1000 * self.predict(model, body).seconds

    def zygotes(self, model: str | None = None) -> list[int]:
        """Return the pids of all zygotes, or of a model's."""
        found = [(pid, labels) for pid, labels in self._children() if labels.get("kind") == "zygote"]
        return [pid for pid, labels in found if model in (None, labels["model"])]

    def cool(self, model: str) -> None:
        """End a model's zygote as if there were no room for it, and return once it is gone."""
        found = self.zygotes(model)
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        self.until(lambda: not any(proc.start_time(pid) for pid in found), f"the zygote of {model} ends")

    def until(self, check: Callable[[], object], what: str, limit_s: float = END_S) -> None:
        """Wait until ``check`` holds; raises :class:`TimeoutError`."""
        end = time.monotonic() + limit_s
        while not check():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {limit_s:g} s: {what}")
            time.sleep(0.01)

    def memory_mb(self) -> dict[str, float]:
        """Return the proportional set of its processes by what they are: pages that several share count once in all."""
        found: dict[str, float] = {}
        for pid, word in self.processes().items():
            found[word] = found.get(word, 0) + proc.memory_mb(pid)
        return found

    def cpu_s(self) -> dict[str, float]:
        """Return the processor seconds that its processes have used by what they are; those that ended are left out."""
        found: dict[str, float] = {}
        for pid, word in self.processes().items():
            with contextlib.suppress(psutil.NoSuchProcess):
                found[word] = found.get(word, 0) + sum(psutil.Process(pid).cpu_times()[:2])
        return found

    def processes(self) -> dict[int, str]:
        """Return every process of the platform with what it is: keeper, envoy, bus, control, zygotes, replicas."""
        assert self.process is not None
        found = {self.process.pid: "keeper"}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            found[child.pid] = "keeper"
        for file in self.home.children.glob("*.json"):
            record = _record(file)
            if record and proc.start_time(int(record["pid"])) == record["start_time"]:
                kind = record["labels"].get("kind", "")
                found[int(record["pid"])] = {"zygote": "zygotes", "replica": "replicas"}.get(kind, str(record["name"]))
        return found

    def _children(self) -> list[tuple[int, dict[str, str]]]:
        records = [_record(file) for file in self.home.children.glob("*.json")]
        return [(int(one["pid"]), one.get("labels", {})) for one in records if one]


def _record(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
        return found
    except (OSError, ValueError):  # it ended meanwhile
        return {}


def onnx_bundle(folder: Path, name: str, *, more: str = "") -> Path:
    """Write a bundle of one small ONNX model of 37 floats."""
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(folder / "model.onnx")
    run = f'[run]\nruntime = "onnx"\nartifact = "model.onnx"\nrequires = ["onnxruntime=={version("onnxruntime")}"]\n'
    (folder / "fairlead.toml").write_text(f'kind = "model"\nname = "{name}"\n{run}{more}')
    return folder


def sklearn_bundle(folder: Path, name: str) -> Path:
    """Write a bundle of a scikit-learn model of 37 floats."""
    import joblib
    import numpy
    from sklearn.linear_model import LogisticRegression

    folder.mkdir(parents=True, exist_ok=True)
    rows = numpy.random.default_rng(1).normal(size=(200, len(ROW)))
    joblib.dump(LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int)), folder / "model.joblib")
    requires = json.dumps([f"scikit-learn=={version('scikit-learn')}"])
    run = f'[run]\nruntime = "sklearn"\nartifact = "model.joblib"\nrequires = {requires}\n'
    (folder / "fairlead.toml").write_text(f'kind = "model"\nname = "{name}"\n{run}')
    return folder


def copies(platform: Installed, template: str, names: Iterable[str]) -> None:
    """Register copies of a model that was pushed and is asleep, as if each had been pushed: the platform is stopped.

    Each has a name, a digest, records, a bundle on disk and what the keeper keeps of it; only its bytes are the same.
    """
    home = platform.home
    engine = create_engine(f"sqlite:///{home.database}")
    with Session(engine) as session:
        version_row = session.scalars(select(ModelVersion).where(ModelVersion.model == template)).one()
        digest = version_row.digest
        rows = [
            session.get_one(Bundle, digest),
            session.get_one(Model, template),
            version_row,
            *session.scalars(select(Alias).where(Alias.model == template)),
        ]
        for row in rows:
            session.expunge(row)
        for name in names:
            if session.get(Model, name) is None:
                own = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
                _copy_rows(session, rows, name, own if digest.startswith("sha256:") else own.partition(":")[2])
                _copy_files(home, digest, name, own.partition(":")[2])
        session.commit()
    engine.dispose()


def _copy_rows(session: Session, rows: list[Any], name: str, digest: str) -> None:
    for row in rows:
        columns = {column.key: getattr(row, column.key) for column in row.__mapper__.column_attrs}
        if "digest" in columns:
            columns["digest"] = digest
        if "manifest" in columns:
            columns["manifest"] = json.dumps(json.loads(columns["manifest"]) | {"name": name})
        if "ready_at" in columns:
            columns["ready_at"] = columns["ready_at"] - timedelta(days=1)
        columns["name" if "name" in columns else "model"] = name
        session.add(type(row)(**columns))
        session.flush()


def _copy_files(home: Home, digest: str, name: str, own: str) -> None:
    plain = digest.rpartition(":")[2]
    shutil.copytree(home.bundles / plain, home.bundles / own)
    file = home.keeper / "prepared" / f"{plain}.json"
    kept = msgspec.json.decode(file.read_bytes(), type=Kept)
    prepared = msgspec.structs.replace(kept.prepared, name=name, digest=f"sha256:{own}" if ":" in digest else own)
    file.with_name(f"{own}.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(kept, prepared=prepared)))


@contextlib.contextmanager
def installed(settings: Mapping[str, str] | None = None) -> Iterator[Installed]:
    """Yield a platform that is not started yet; afterwards nothing of it is left."""
    root = Path(tempfile.mkdtemp(prefix="fl-"))  # short: sockets must fit into 107 bytes
    made = Installed(root, settings)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(root, ignore_errors=True)
