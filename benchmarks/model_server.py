"""How much of Granian's speed the model server keeps: side by side, in one run, with wrk.

Two servers on loopback: a handler that only echoes the body, and the model server with a logistic regression of 37
floats, as ONNX file or as code with numpy. Rounds are interleaved, medians count,
and the ratio is the result: absolute numbers depend on the machine, which wrk shares.

    python benchmarks/model_server.py [--seconds 5] [--rounds 3] [--kind onnx|numpy]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

FLOATS = 37
AIMS = {400: 0.85, 32: 0.65}
ECHO = """
import asyncio, sys, uvloop
from granian.server.embed import Server
async def echo(scope, proto):
    proto.response_bytes(200, [("content-type", "application/json")], await proto())
async def main():
    await Server(echo, address="127.0.0.1", port=int(sys.argv[1]), interface="rsgi", websockets=False,
                 backlog=4096, log_enabled=False).serve()
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""
OURS = """
import os, sys
from pathlib import Path
import granian.server.embed as embed
from fairlead.messages import Fork, ModelSpec, ExampleSpec
from fairlead.modelserver import server
port, folder, artifact, entry = int(sys.argv[1]), sys.argv[2], sys.argv[3] or None, sys.argv[4] or None
def on_tcp(front, path):  # wrk speaks TCP only; everything else is as it is served
    return embed.Server(front, address="127.0.0.1", port=port, interface="rsgi", websockets=False, backlog=4096,
                        log_enabled=False, http=server.HTTPModes.http1)
server.http_server = on_tcp
spec = ModelSpec(name="bench", version="1", runtime="onnx" if artifact else "python", artifact=artifact, entry=entry,
                 examples=(ExampleSpec("zeros", {"x": [0.0] * 37}),))
os._exit(server.serve(Fork("r", spec, "gate", folder, folder, folder + "/s", folder + "/k")))
"""
NUMPY_MODEL = """
import numpy as np, fairlead
from typing import Annotated
class Features(fairlead.Input):
    x: Annotated[list[float], fairlead.Field(min_length=37, max_length=37)]
weights = np.linspace(-1, 1, 37)
class Bench(fairlead.Model):
    def predict_batch(self, rows: list[Features]) -> list[dict]:
        p = 1 / (1 + np.exp(-(np.array([row.x for row in rows]) @ weights)))
        return [{"label": v > 0.5, "probability": v} for v in p.tolist()]
"""


class Sample(NamedTuple):
    rate: float
    p50_ms: float
    p99_ms: float
    errors: str
    cpu_us: float
    """Processor time of the server for each request: what a load generator on the same cores does not blur."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_onnx(path: Path) -> None:
    """Write a logistic regression of 37 floats: label and probability."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save_model

    weights = numpy_helper.from_array(np.linspace(-1, 1, FLOATS, dtype=np.float32).reshape(-1, 1), "w")
    half = numpy_helper.from_array(np.array(0.5, dtype=np.float32), "half")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Sigmoid", ["z"], ["probability"]),
        helper.make_node("Greater", ["probability", "half"], ["label"]),
    ]
    graph = helper.make_graph(
        nodes,
        "bench",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, FLOATS])],
        [
            helper.make_tensor_value_info("label", TensorProto.BOOL, [None, 1]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1]),
        ],
        [weights, half],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def wait_answers(port: int, path: str, body: str) -> None:
    """Return once the server answers 200; raises :class:`TimeoutError` after 30 s."""
    import httpx

    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            answer = httpx.post(f"http://127.0.0.1:{port}{path}", content=body, headers={"x-fairlead-gate": "gate"})
            if answer.status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"port {port} never answered")


class Served(NamedTuple):
    port: int
    process: subprocess.Popen[bytes]


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process has used (fields 14 and 15 of /proc/PID/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(server: Served, path: str, script: Path, connections: int, seconds: float) -> Sample:
    threads = min(connections, 8 if connections > 100 else 2)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", str(script)]
    before = cpu_s(server.process.pid)
    url = f"http://127.0.0.1:{server.port}{path}"
    text = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    used_s = cpu_s(server.process.pid) - before
    requests = int(re.search(r"(\d+) requests in", text)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    p50, p99 = (milliseconds(re.search(rf"{p}%\s+([\d.]+)(us|ms|s)", text)) for p in (50, 99))
    bad = re.findall(r"(Non-2xx.*|Socket errors.*)", text)
    return Sample(rate, p50, p99, "; ".join(bad), used_s * 1e6 / max(1, requests))


def milliseconds(match: re.Match[str]) -> float:
    return float(match[1]) * {"us": 0.001, "ms": 1, "s": 1000}[match[2]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=["onnx", "numpy"], default="onnx")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), options)


def compare(folder: Path, options: argparse.Namespace) -> int:
    body = '{"x":[' + ",".join(f"{index / 10}" for index in range(FLOATS)) + "]}"
    script = folder / "post.lua"
    script.write_text(
        f"wrk.method = \"POST\"\nwrk.body = '{body}'\n"
        'wrk.headers["Content-Type"] = "application/json"\nwrk.headers["x-fairlead-gate"] = "gate"\n'
    )
    artifact, entry = ("", "bench_model:Bench")
    if options.kind == "onnx":
        write_onnx(folder / "bench.onnx")
        artifact, entry = "bench.onnx", ""
    (folder / "bench_model.py").write_text(NUMPY_MODEL)
    path = "/v1/models/bench/predict"
    echo = start(ECHO)
    ours = start(OURS, str(folder), artifact, entry)
    try:
        for server in (echo, ours):
            wait_answers(server.port, path, body)
            load(server, path, script, 32, 1)
        return measure(echo, ours, path, script, options)
    finally:
        for server in (echo, ours):
            server.process.kill()
            server.process.wait()


def start(program: str, *arguments: str) -> Served:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", program, str(port), *arguments], stdout=subprocess.DEVNULL)
    return Served(port, process)


def measure(echo: Served, ours: Served, path: str, script: Path, options: argparse.Namespace) -> int:
    missed = 0
    print(f"{os.cpu_count()} cores, {options.kind}, {options.rounds} rounds of {options.seconds:g} s, medians")
    print(
        f"{'connections':>11} {'echo req/s':>11} {'ours req/s':>11} {'ratio':>6} {'aim':>5} "
        f"{'p50 ms':>14} {'p99 ms':>14} {'CPU us/req':>14}"
    )
    for connections in (400, 32, 1):
        rounds = [
            tuple(load(server, path, script, connections, options.seconds) for server in (echo, ours))
            for _ in range(options.rounds)
        ]
        ratio = statistics.median(b.rate / a.rate for a, b in rounds)
        aim = AIMS.get(connections)
        missed += aim is not None and ratio < aim
        rate, p50, p99, cpu = (
            [statistics.median(getattr(pair[side], field) for pair in rounds) for side in (0, 1)]
            for field in ("rate", "p50_ms", "p99_ms", "cpu_us")
        )
        print(
            f"{connections:>11} {rate[0]:>11,.0f} {rate[1]:>11,.0f} {ratio:>6.2f} {aim or '':>5} "
            f"{p50[0]:>6.2f} {p50[1]:>7.2f} {p99[0]:>6.2f} {p99[1]:>7.2f} {cpu[0]:>6.1f} {cpu[1]:>7.1f}"
        )
        for error in {sample.errors for pair in rounds for sample in pair} - {""}:
            print(f"{'':>11} {error}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
