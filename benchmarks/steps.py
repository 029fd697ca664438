"""Where the time goes: the model server and the front door, step by step, in one run.

From a server that only echoes to the model server, and from a plain Envoy to the front door: each row adds one step to
the row before it, and the difference in processor time a request is what the step costs. Writes a table in Markdown.

    python benchmarks/steps.py [--seconds 4] [--rounds 3] [--connections 400] [--out docs/benchmarks]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import front_door
from measure import Sample, Served, free_port, has_wrk, interleaved, machine, median, sample_table, wait_answers
from model_server import BODY, ECHO, JSON_HEADERS, PATH, ours, write_onnx

Rows = list[tuple[str, list[Sample]]]
STEPS = """
import asyncio, sys, msgspec, numpy as np, onnxruntime, uvloop
from granian.server.embed import Server
step, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
class Row(msgspec.Struct):
    x: list[float]
decode, encode = msgspec.json.Decoder(Row).decode, msgspec.json.Encoder().encode
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
waiting = []
HEADERS = [("content-type", "application/json")]
async def coded(scope, proto):
    row = decode(await proto())
    proto.response_bytes(200, HEADERS, encode({"label": False, "probability": row.x[0]}))
def answer():
    batch = waiting[:]
    waiting.clear()
    found = session.run(["label", "probability"], {"x": np.array([row for row, _ in batch], dtype=np.float32)})
    for (_, future), label, chance in zip(batch, found[0].tolist(), found[1].tolist()):
        future.set_result({"label": label[0], "probability": chance[0]})
async def batched(scope, proto):
    row = decode(await proto())
    future = loop.create_future()
    waiting.append((row.x, future))
    if len(waiting) == 1:
        loop.call_soon(answer)
    proto.response_bytes(200, HEADERS, encode(await future))
async def main():
    global loop
    loop = asyncio.get_running_loop()
    await Server({"coded": coded, "batched": batched}[step], address="127.0.0.1", port=port, interface="rsgi",
                 websockets=False, backlog=4096, log_enabled=False).serve()
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""
DOOR_STEPS = (
    ("+ ids and traces that are none", ("ids", "traces")),
    ("+ shape of paths and bodies", ("shape",)),
    ("+ the token: verified, claims to headers", ("jwt",)),
    ("+ the deny-list", ("revoked",)),
    ("+ the right to the route", ("roles", "cookie", "limit")),
)
"""Filters by what they do, in the order in which they run."""


def model_server(options: argparse.Namespace, folder: Path) -> Rows:
    """Return the rounds of each step from an echo to the model server."""
    onnx = folder / "steps.onnx"
    write_onnx(onnx)
    with ExitStack() as stack:
        servers = [_program("echo", ECHO)]
        servers.append(_program("+ JSON to a row, an answer to JSON", STEPS, "coded", onnx))
        servers.append(_program("+ one batch a turn of the loop, ONNX", STEPS, "batched", onnx))
        servers.append(ours(folder, "the model server"))
        for server in servers:
            stack.callback(server.stop)
            wait_answers(server)
        found = interleaved(servers, options.connections, options.seconds, options.rounds, folder)
        return list(found.items())


def _program(name: str, text: str, step: str = "", onnx: Path | None = None) -> Served:
    port = free_port()
    arguments = [step, str(port), str(onnx)] if step else [str(port)]
    process = subprocess.Popen([sys.executable, "-c", text, *arguments], stderr=subprocess.DEVNULL)
    return Served(name, port, PATH, process, BODY, JSON_HEADERS)


def door(options: argparse.Namespace, folder: Path) -> Rows:
    """Return the rounds of each step from a plain Envoy to the front door, in front of the same echo."""
    socket, workers = f"{folder}/echo", 1
    with ExitStack() as stack:
        (folder / "echo.py").write_text(front_door.ECHO)
        upstream = subprocess.Popen([sys.executable, str(folder / "echo.py"), socket], stderr=subprocess.DEVNULL)
        stack.callback(upstream.wait)
        stack.callback(upstream.kill)
        command, token = front_door.ours(_folder(folder, "whole"), port := free_port(), socket, workers, 200)

        def up(name: str, argv: Sequence[str], port: int, token: str) -> Served:
            process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            headers = JSON_HEADERS | {"Authorization": f"Bearer {token}"}
            server = Served(name, port, front_door.PATH, process, front_door.BODY.encode(), headers)
            stack.callback(server.stop)
            wait_answers(server)
            return server

        bare = free_port()
        servers = [up("plain Envoy", front_door.plain(_folder(folder, "plain"), bare, socket, workers), bare, token)]
        kept: tuple[str, ...] = ("router",)
        for name, filters in (("+ our listener, routes and limits", ()), *DOOR_STEPS):
            kept = (*kept, *filters)
            place, other = _folder(folder, f"with-{len(kept)}"), free_port()
            argv, own = front_door.ours(place, other, socket, workers, 200)
            _keep(place / "envoy" / "listeners" / "listeners.json", kept)
            servers.append(up(name, argv, other, own))
        servers.append(up("the front door", command, port, token))
        found = interleaved(servers, options.connections, options.seconds, options.rounds, folder)
        return list(found.items())


def _folder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def _keep(file: Path, names: Sequence[str]) -> None:
    """Leave only the filters of ``names`` in the listener of ``file``."""
    said = json.loads(file.read_bytes())
    for chain in said["resources"][0]["filter_chains"]:
        manager = chain["filters"][0]["typed_config"]
        manager["http_filters"] = [one for one in manager["http_filters"] if one["name"] in names]
    file.write_text(json.dumps(said))


def costs(rows: Rows) -> str:
    """Return a table in Markdown: what each step adds to the row before it, in processor time of the server."""
    lines = ["| step | CPU µs/request | more than the row before |", "|---|--:|--:|"]
    before = None
    for name, samples in rows:
        cpu = median(samples, "cpu_us")
        more = "" if before is None else f"{cpu - before:+.1f}"
        lines.append(f"| {name} | {cpu:.1f} | {more} |")
        before = cpu
    return "\n".join(lines)


def report(found: dict[str, Rows], options: argparse.Namespace) -> str:
    """Return the page in Markdown."""
    parts = "\n\n".join(
        f"## {title}\n\n{costs(rows)}\n\nThe same rounds as a client sees them:\n\n{sample_table(rows)}"
        for title, rows in found.items()
    )
    return f"""# Where the time goes

Made by `python benchmarks/steps.py` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. {options.connections} connections,
{options.rounds} rounds of {options.seconds} s that take turns; medians. Each row adds a step to the row before it.

{parts}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "benchmarks")
    options = parser.parse_args()
    if not has_wrk():
        return 1
    found = {}
    for title, step in {"The model server": model_server, "The front door": door}.items():
        with tempfile.TemporaryDirectory() as name:
            found[title] = step(options, Path(name))
    options.out.mkdir(parents=True, exist_ok=True)
    text = report(found, options)
    (options.out / "steps.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
