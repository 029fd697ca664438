"""How long it takes from ``fairlead push`` to the first answer, for each kind of model, its environment cached.

    python benchmarks/push.py [--rounds 5] [--kinds sklearn onnx torch python]

A whole platform of its own is started. Each bundle is pushed once, which builds its environment and is not counted; in
each round it has other content, so it is a new version. A table says where the time goes: the moments at which the
command line says that a step begins. Written as Markdown with ``--out docs/benchmarks``.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from measure import Aimed, aim_table, cpu_s, free_port, machine

FAIRLEAD = str(Path(sys.executable).parent / "fairlead")
START_S = 300.0
AIM_S = 2.0
STEPS = ("checked", "sent", "fetching", "looking", "starting", "ready", "answered")
"""How what the command line says begins; ``ready`` is its end, ``answered`` that of the first call."""
PYTHON = """
from collections.abc import Iterator


def predict(words: int = 3) -> Iterator[str]:
    for number in range(words):
        yield f"{number} "
"""


@dataclass
class Kind:
    """One kind of model, and what was measured of it."""

    name: str
    folder: Path
    body: bytes
    totals_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    steps_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def sklearn(folder: Path) -> bytes:
    import joblib

    joblib.dump(_fitted(), folder / "model.joblib")
    _manifest(folder, "sklearn", "model.joblib", f"scikit-learn=={version('scikit-learn')}")
    return b'{"x": [0.5, 0.5, 0.5, 0.5]}'


def onnx(folder: Path) -> bytes:
    from skl2onnx import to_onnx

    made = to_onnx(_fitted(), _rows()[:1].astype("float32"), options={"zipmap": False})
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    _manifest(folder, "onnx", "model.onnx", f"onnxruntime=={version('onnxruntime')}")
    return b'{"X": [0.5, 0.5, 0.5, 0.5]}'


def torch(folder: Path) -> bytes:
    import torch as library

    library.jit.script(library.nn.Linear(4, 2)).save(str(folder / "model.pt"))
    # its builds have local versions (2.13.0+cpu), which an index may not have
    _manifest(folder, "torch", "model.pt", "numpy", f"torch=={version('torch').partition('+')[0]}")
    return b'{"input": [0.5, 0.5, 0.5, 0.5]}'


def python(folder: Path) -> bytes:
    (folder / "model.py").write_text(PYTHON)
    (folder / "fairlead.toml").write_text('kind = "model"\nname = "push-python"\n[run]\nentry = "model:predict"\n')
    return b'{"words": 2}'


KINDS = {"sklearn": sklearn, "onnx": onnx, "torch": torch, "python": python}


def _rows():
    import numpy

    return numpy.random.default_rng(1).normal(size=(200, 4))


def _fitted():
    from sklearn.linear_model import LogisticRegression

    rows = _rows()
    return LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int))


def _manifest(folder: Path, runtime: str, artifact: str, *requires: str) -> None:
    run = f'[run]\nruntime = "{runtime}"\nartifact = "{artifact}"\nrequires = {json.dumps(requires)}\n'
    (folder / "fairlead.toml").write_text(f'kind = "model"\nname = "push-{runtime}"\n{run}')


class Platform:
    """A ``fairlead up`` of its own."""

    def __init__(self, root: Path) -> None:
        self.port, self._root = free_port(), root
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
        home = root / "home"
        self.env = kept | {"FAIRLEAD_CONFIG": str(root / "config"), "FAIRLEAD_HOME": str(home), "PYTHONUNBUFFERED": "1"}
        ports = ["--listen", f"127.0.0.1:{self.port}", "--devices", f"127.0.0.1:{free_port()}"]
        self.process = subprocess.Popen(
            [FAIRLEAD, "up", "--home", str(home), *ports], env=self.env, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ready "):
                return
        raise ChildProcessError(f"fairlead up ended with {self.process.wait()}")

    @property
    def token(self) -> str:
        known = json.loads((self._root / "config" / "sessions.json").read_text())
        return str(known["sessions"][f"http://127.0.0.1:{self.port}"]["token"])

    def push(self, kind: Kind) -> None:
        """Push, ask once, and note how long it all took."""
        before, began = cpu_s(self.process.pid), time.perf_counter()
        said: list[tuple[float, str]] = []
        with subprocess.Popen(
            [FAIRLEAD, "push", str(kind.folder)],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as pushing:
            assert pushing.stderr is not None
            said += [(time.perf_counter(), line.strip()) for line in pushing.stderr]
        if pushing.returncode:
            raise ChildProcessError(f"push of {kind.name}: {[line for _, line in said[-3:]]}")
        said.append((time.perf_counter(), "ready"))
        self._ask(kind)
        said.append((time.perf_counter(), "answered"))
        kind.totals_s.append(said[-1][0] - began)
        kind.cpu_s.append(cpu_s(self.process.pid) - before)
        for moment, line in said:
            step = next((one for one in STEPS if line.startswith(one)), "")
            if step:
                kind.steps_s[step].append(moment - began)

    def _ask(self, kind: Kind) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request("POST", f"/v1/models/push-{kind.name}/predict", kind.body, headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        if answer.status != 200:
            raise ConnectionError(f"{kind.name} answered {answer.status}: {said[:300]!r}")

    def settle(self) -> None:
        """Wait until nothing is done any more: a scikit-learn model is compiled beside its service."""
        until = time.monotonic() + 60
        used = cpu_s(self.process.pid)
        while time.monotonic() < until:
            time.sleep(1)
            used, before = cpu_s(self.process.pid), used
            if used - before < 0.2:
                return

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


@contextlib.contextmanager
def platform() -> Iterator[Platform]:
    """Yield a platform; afterwards nothing of it is left."""
    root = Path(tempfile.mkdtemp(prefix="fl-"))  # short: sockets must fit into 107 bytes
    made = None
    try:
        made = Platform(root)
        yield made
    finally:
        if made is not None:
            made.stop()
        shutil.rmtree(root, ignore_errors=True)


def prepared(names: list[str], root: Path) -> list[Kind]:
    """Return the kinds whose libraries are here, with a bundle of each."""
    kinds = []
    for name in names:
        folder = root / name
        folder.mkdir(parents=True)
        try:
            kinds.append(Kind(name, folder, KINDS[name](folder)))
        except (ImportError, PackageNotFoundError) as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
    return kinds


def run(options: argparse.Namespace) -> str:
    """Return in Markdown what was measured, and whether the aims are met."""
    with tempfile.TemporaryDirectory() as folder, platform() as made:
        kinds = prepared(options.kinds, Path(folder))
        for number in range(options.rounds + 1):
            for kind in kinds:
                (kind.folder / "round.txt").write_text(f"{number}\n")
                if number == 0:
                    print(f"{kind.name}: its environment is built", flush=True)
                made.push(kind)
                made.settle()
        for kind in kinds:
            for measured in (kind.totals_s, kind.cpu_s, *kind.steps_s.values()):
                del measured[: len(measured) - options.rounds]
    aims = [Aimed(f"push to answer, {kind.name}: s", statistics.median(kind.totals_s), AIM_S, False) for kind in kinds]
    return f"{table(kinds)}\n\n{aim_table(aims)}\n"


def page(found: str, rounds: int) -> str:
    """Return the page in Markdown."""
    return f"""# From push to answer

Made by `python benchmarks/push.py --out docs/benchmarks` on {datetime.now(UTC):%Y-%m-%d}: {machine()};
{rounds} rounds, medians. At which second after `fairlead push` began each step begins; environments are cached, and
every push is a new version.

{found}"""


def table(kinds: list[Kind]) -> str:
    """Return in Markdown at which second each step begins, medians of the rounds."""
    lines = [
        f"| kind | {' | '.join(STEPS)} | worst | platform's CPU s |",
        f"|---|{'--:|' * (len(STEPS) + 2)}",
    ]
    for kind in kinds:
        steps = [f"{statistics.median(kind.steps_s[step]):.2f}" if kind.steps_s[step] else "-" for step in STEPS]
        worst, used = max(kind.totals_s), statistics.median(kind.cpu_s)
        lines.append(f"| {kind.name} | {' | '.join(steps)} | {worst:.2f} | {used:.2f} |")
    return "\n".join(lines)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    return parser


if __name__ == "__main__":
    options = arguments().parse_args()
    print(f"{machine()}; {options.rounds} rounds, medians\n", flush=True)
    found = run(options)
    print(found)
    if options.out is not None:
        (options.out / "push.md").write_text(page(found, options.rounds))
