"""Fairlead's model server beside other Python model servers, in one run on one machine, with wrk.

Each peer has an environment of its own with pinned versions (``benchmarks/peers/*.txt``, from PyPI, kept in a cache
folder) and the settings that its documentation gives for speed (``benchmarks/peers/*_server.py``). All serve the same
ONNX file in one worker; all must answer 64 different rows right, sent at once, before anything is measured. Rounds
take turns; medians count. Writes a table in Markdown and a chart.

    python benchmarks/peers.py [--seconds 4] [--rounds 3] [--peers mosec fastapi …] [--out docs/benchmarks]
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import httpx
from measure import (
    Aimed,
    Sample,
    Served,
    aim_table,
    free_port,
    has_wrk,
    interleaved,
    machine,
    median,
    ratio,
    sample_table,
    wait_answers,
)
from model_server import BODY, FLOATS, JSON_HEADERS, echo, ours, write_onnx

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fairlead" / "peers"
PEERS = ("mosec", "fastapi", "litserve", "bentoml")
IMAGE_PEERS = ("mosec", "fastapi", "litserve")
"""BentoML hands raw bodies to a mounted application only, which is not its own way to serve."""
IMAGE = bytes(index % 251 for index in range(224 * 224 * 3))
FAIRLEAD = "fairlead"
Found = dict[str, list[Sample]]


def environment(name: str) -> Path:
    """Return the Python of the peer's environment; makes it where it is not there or its versions have changed."""
    folder, wanted = CACHE / name, (HERE / "peers" / f"{name}.txt").read_text()
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"installing {name} into {folder}", file=sys.stderr, flush=True)
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
    install = [uv, "pip", "install", "-q", "--python", str(python), "-r", str(HERE / "peers" / f"{name}.txt")]
    subprocess.run(install, check=True)
    stamp.write_text(wanted)
    return python


def peer(name: str, work: str, folder: Path) -> Served:
    """Start a peer that serves ``floats`` or ``image``."""
    port, onnx = free_port(), folder / "peers.onnx"
    if not onnx.exists():
        write_onnx(onnx)
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environ |= {"BENCH_PORT": str(port), "BENCH_WORK": work, "BENCH_ONNX": str(onnx), "ORT_DISABLE_TELEMETRY": "1"}
    environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HOME": str(folder), "BENTOML_DO_NOT_TRACK": "1"}
    program = HERE / "peers" / f"{name}_server.py"
    with open(folder / f"{name}-{work}.log", "wb") as log:
        process = subprocess.Popen([environment(name), program], env=environ, stdout=log, stderr=log, cwd=folder)
    path = {"mosec": "/inference", "litserve": "/predict"}.get(name, f"/{work}")
    body, headers = BODY, JSON_HEADERS
    if work == "image" and name == "litserve":  # its own way to take files
        body = json.dumps({"image": base64.b64encode(IMAGE).decode()}).encode()
    elif work == "image":
        body, headers = IMAGE, {"Content-Type": "application/octet-stream"}
    return Served(name, port, path, process, body, headers)


def check_floats(server: Served) -> None:
    """Send 64 different rows at once; raises :class:`AssertionError` where an answer belongs to another row."""
    with httpx.Client(limits=httpx.Limits(max_connections=32), timeout=30) as client:

        def ask(number: int) -> None:
            row = [(number - 32) * index / 2000 for index in range(FLOATS)]
            url = f"http://127.0.0.1:{server.port}{server.path}"
            said = client.post(url, json={"x": row}, headers=server.headers).json()["probability"]
            got = said[0] if isinstance(said, list) else said
            z = sum(value * (-1 + 2 * index / (FLOATS - 1)) for index, value in enumerate(row))
            assert math.isclose(got, 1 / (1 + math.exp(-z)), abs_tol=1e-4), f"{server.name}: row {number} got {got}"

        with ThreadPoolExecutor(32) as threads:
            list(threads.map(ask, range(64)))


def check_image(server: Served) -> None:
    """Raise :class:`AssertionError` where the picture was not read right."""
    wanted = [0.0, 0.0, 0.0]
    for row in range(0, 224, 16):
        for column in range(0, 224, 16):
            for color in range(3):
                wanted[color] += IMAGE[(row * 224 + column) * 3 + color] / 196
    got = wait_answers(server).json()["mean"]
    assert all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(got, wanted, strict=True)), f"{server.name}: {got}"


def floats(options: argparse.Namespace) -> dict[str, Found]:
    """Measure JSON of 37 floats; returns the rounds by title."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        servers = _up(stack, [ours(folder, FAIRLEAD), echo()], [(name, "floats") for name in options.peers], folder)
        for server in servers:
            if server.name != "echo":
                check_floats(server)
        found = {}
        for connections in (400, 32, 1):
            title = f"37 floats as JSON, {connections} connection{'s' if connections > 1 else ''}"
            seconds = options.seconds if connections > 1 else max(1, options.seconds // 2)
            found[title] = _measured(title, servers, connections, seconds, options.rounds, folder)
        return found


def image(options: argparse.Namespace) -> dict[str, Found]:
    """Measure 224 x 224 x 3 bytes; returns the rounds by title."""
    title = "Picture of 224 x 224 x 3 bytes, 32 connections"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        own = ours(folder, FAIRLEAD, entry="Image", body=IMAGE, kind="application/octet-stream")
        names = [(name, "image") for name in options.peers if name in IMAGE_PEERS]
        servers = _up(stack, [own], names, folder)
        for server in servers:
            check_image(server)
        return {title: _measured(title, servers, 32, options.seconds, options.rounds, folder)}


def _up(stack: ExitStack, own: Sequence[Served], names: Sequence[tuple[str, str]], folder: Path) -> list[Served]:
    """Start all; a peer that does not answer is left out, with a word."""
    for server in own:
        stack.callback(server.stop)
    up = []
    for server in [*own, *(peer(name, work, folder) for name, work in names)]:
        stack.callback(server.stop)
        try:
            wait_answers(server)
        except (TimeoutError, ChildProcessError) as error:
            if server in own:
                raise
            print(f"left out: {error}", file=sys.stderr, flush=True)
            continue
        up.append(server)
    return up


def _measured(
    title: str, servers: Sequence[Served], connections: int, seconds: int, rounds: int, folder: Path
) -> Found:
    found = interleaved(servers, connections, seconds, rounds, folder)
    print(f"## {title}\n\n{sample_table(_ranked(found))}\n", flush=True)
    return found


def _ranked(found: Found) -> list[tuple[str, list[Sample]]]:
    return sorted(found.items(), key=lambda pair: -median(pair[1], "rate"))


def aims(results: dict[str, Found]) -> list[Aimed]:
    """Return what is aimed at, as far as the peers were measured."""
    made = []
    for title, found in results.items():
        own = found[FAIRLEAD]
        wanted: list[tuple[str, str, float, bool]] = []
        if "400" in title:
            wanted = [("echo", "rate", 0.85, True), ("mosec", "rate", 1.1, True), ("fastapi", "rate", 6, True)]
            wanted.append(("mosec", "p99_ms", 1.3, False))
        elif "JSON, 32" in title:
            wanted = [("echo", "rate", 0.65, True), ("mosec", "rate", 2.1, True)]
        elif "Picture" in title:
            wanted = [(name, "rate", 1, True) for name in IMAGE_PEERS]
        for name, field, aim, least in wanted:
            if name in found:
                what = "requests/s" if field == "rate" else "p99"
                made.append(Aimed(f"{title}: {what} over {name}'s", ratio(own, found[name], field), aim, least))
        if title.endswith("1 connection") and "echo" in found:
            more_ms = median(own, "p50_ms") - median(found["echo"], "p50_ms")
            made.append(Aimed(f"{title}: p50 over echo's, ms", more_ms, 0.1, least=False))
    return made


def chart(results: dict[str, Found]) -> str:
    """Return an SVG with a bar for each server, requests a second, in a block for each title."""
    wide, bar, left = 760, 22, 110
    parts: list[str] = []
    y = 10
    for title, found in results.items():
        parts.append(f'<text x="0" y="{y + 16}" font-weight="bold">{escape(title)}: requests/s</text>')
        y += 28
        most = max(median(samples, "rate") for samples in found.values())
        for name, samples in _ranked(found):
            rate = median(samples, "rate")
            length = max(1, round((wide - left - 90) * rate / most))
            color = {FAIRLEAD: "#1f77b4", "echo": "#bbbbbb"}.get(name, "#e0a458")
            parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{left}" y="{y}" width="{length}" height="{bar - 4}" fill="{color}"/>')
            parts.append(f'<text x="{left + length + 6}" y="{y + 15}">{rate:,.0f}</text>')
            y += bar
        y += 14
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {y}" width="{wide}" height="{y}"'
    return f'{head} font-family="sans-serif" font-size="13">\n' + "\n".join(parts) + "\n</svg>\n"


def report(results: dict[str, Found], options: argparse.Namespace) -> str:
    """Return the page in Markdown."""
    versions = ", ".join(
        line
        for name in options.peers
        for line in (HERE / "peers" / f"{name}.txt").read_text().split()
        if line.startswith(name)
    )
    tables = "\n\n".join(f"## {title}\n\n{sample_table(_ranked(found))}" for title, found in results.items())
    return f"""# Model servers side by side

Made by `make peers` (or `make bench`) on {datetime.now(UTC):%Y-%m-%d}: {machine()}.
{options.rounds} rounds of {options.seconds} s that take turns; medians; the spread is half the range over the mean.
One worker each, the same ONNX file, one row a request.
Peers: {versions}, with the settings in [benchmarks/peers](../../benchmarks/peers). `echo` is Granian handing the body
back: the ceiling of HTTP handled by Python. Fairlead is its model server alone, as its peers are: without front door.

![requests a second](peers.svg)

{tables}

## Aims

{aim_table(aims(results))}
"""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "benchmarks")
    return parser


def run(options: argparse.Namespace) -> list[Aimed]:
    """Measure all side by side, write the page and its chart, and return what is aimed at."""
    for name in options.peers:
        environment(name)
    results = floats(options) | image(options)
    for title, found in results.items():
        print(f"### {title}\n\n{sample_table(_ranked(found))}\n", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "peers.svg").write_text(chart(results))
    (options.out / "peers.md").write_text(report(results, options))
    print(f"written: {options.out}/peers.md, {options.out}/peers.svg", file=sys.stderr)
    return aims(results)


def main() -> int:
    options = arguments().parse_args()
    if not has_wrk():
        return 1
    print(aim_table(run(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
