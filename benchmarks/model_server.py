"""How much of Granian's speed the model server keeps, and what batches bring: side by side, in one run, with wrk.

A handler that only echoes the body stands beside the model server with a logistic regression of 37 floats, as ONNX
file or as code with numpy; a vectorised model stands beside itself without batches. Rounds take turns, medians count,
and the ratio is the result: absolute numbers depend on the machine, which wrk shares.

    python benchmarks/model_server.py [--seconds 4] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

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

FLOATS = 37
ROW = [index / 10 for index in range(FLOATS)]
BODY = json.dumps({"x": ROW}).encode()
JSON_HEADERS = {"Content-Type": "application/json"}
PATH = "/v1/models/bench/predict"
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
import json, os, sys
import granian.server.embed as embed
from fairlead.messages import BatchSpec, Fork, ModelSpec
from fairlead.modelserver import server
port, folder, said = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
def on_tcp(front, path):  # wrk speaks TCP only; everything else is as it is served
    return embed.Server(front, address="127.0.0.1", port=port, interface="rsgi", websockets=False, backlog=4096,
                        log_enabled=False, http=server.HTTPModes.http1)
server.http_server = on_tcp
batch = BatchSpec(max_size=said.pop("max_size", 64))
spec = ModelSpec(name="bench", version="1", batch=batch, **said)
os._exit(server.serve(Fork("r", spec, "gate", folder, folder, folder + "/s", folder + "/k")))
"""
CODE = """
import fairlead, numpy as np
from typing import Annotated
class Features(fairlead.Input):
    x: Annotated[list[float], fairlead.Field(min_length=37, max_length=37)]
weights = np.linspace(-1, 1, 37)
class Regression(fairlead.Model):
    def predict_batch(self, rows: list[Features]) -> list[dict]:
        p = 1 / (1 + np.exp(-(np.array([row.x for row in rows]) @ weights)))
        return [{"label": v > 0.5, "probability": v} for v in p.tolist()]
class Recurrent(fairlead.Model):
    '''Reads the 37 numbers as a series, forth and back: hundreds of small steps, which all rows of a batch share.'''
    def __init__(self):
        chance = np.random.default_rng(1)
        self.enter, self.stay = (0.1 * chance.standard_normal(shape, dtype=np.float32) for shape in ((1, 64), (64, 64)))
    def predict_batch(self, rows: list[Features]) -> list[dict]:
        series = np.array([row.x for row in rows], dtype=np.float32)
        state = np.zeros((len(rows), 64), dtype=np.float32)
        for step in [*range(37), *reversed(range(37))]:
            state = np.tanh(series[:, step : step + 1] * self.enter + state @ self.stay)
        return [{"score": v} for v in state.sum(axis=1).tolist()]
class Image(fairlead.Model):
    def predict(self, image: fairlead.File) -> dict:
        pixels = np.frombuffer(image.read(), dtype=np.uint8).reshape(224, 224, 3)
        return {"mean": pixels[::16, ::16].mean(axis=(0, 1)).tolist()}
"""


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


def echo() -> Served:
    """Start the handler that echoes."""
    port = free_port()
    return Served("echo", port, PATH, _python(ECHO, str(port)), BODY, JSON_HEADERS)


def ours(
    folder: Path, name: str, *, entry: str = "", max_size: int = 64, body: bytes = BODY, kind: str = "application/json"
) -> Served:
    """Start the model server with the ONNX file, or with class ``entry`` of :data:`CODE`."""
    home = Path(tempfile.mkdtemp(dir=folder))
    said: dict[str, object] = {"max_size": max_size}
    if entry:
        (home / "bench_code.py").write_text(CODE)
        said |= {"runtime": "python", "entry": f"bench_code:{entry}"}
    else:
        write_onnx(home / "bench.onnx")
        said |= {"runtime": "onnx", "artifact": "bench.onnx"}
    port = free_port()
    process = _python(OURS, str(port), str(home), json.dumps(said))
    return Served(name, port, PATH, process, body, {"Content-Type": kind, "x-fairlead-gate": "gate"})


def _python(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    environ = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ)


def run(options: argparse.Namespace) -> list[Aimed]:
    """Print each table; returns the results that have an aim. Raises where a server does not answer."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def up(server: Served) -> Served:
            stack.callback(server.stop)
            wait_answers(server)
            return server

        beside, onnx = up(echo()), up(ours(folder, "fairlead, ONNX"))
        code = up(ours(folder, "fairlead, numpy", entry="Regression"))
        aims = _against_echo([beside, onnx, code], options, folder)
        for server in (beside, onnx, code):
            server.stop()
        batches = [up(ours(folder, f"batches of {size}", entry="Recurrent", max_size=size)) for size in (1, 64)]
        return aims + _batches(batches, options, folder)


def _against_echo(servers: Sequence[Served], options: argparse.Namespace, folder: Path) -> list[Aimed]:
    aims: list[Aimed] = []
    beside, onnx, _ = (server.name for server in servers)
    for connections in (400, 32, 1):
        found = _print(f"{connections} connections", servers, connections, options, folder)
        if connections == 1:
            more_ms = median(found[onnx], "p50_ms") - median(found[beside], "p50_ms")
            aims.append(Aimed("one client, ONNX: p50 over echo, ms", more_ms, 0.1, least=False))
        else:
            aim = 0.85 if connections == 400 else 0.65
            what = f"{connections} connections, ONNX: requests/s over echo"
            aims.append(Aimed(what, ratio(found[onnx], found[beside]), aim))
    return aims


def _batches(servers: Sequence[Served], options: argparse.Namespace, folder: Path) -> list[Aimed]:
    without, with_them = (server.name for server in servers)
    found = _print("Vectorised model, 64 connections", servers, 64, options, folder)
    slower = ratio(found[with_them], found[without], "p99_ms")
    return [
        Aimed("vectorised model: requests/s with batches over without", ratio(found[with_them], found[without]), 3.5),
        Aimed("the same: p99 with batches over without", slower, 1, least=False),
    ]


def _print(
    title: str, servers: Sequence[Served], connections: int, options: argparse.Namespace, folder: Path
) -> dict[str, list[Sample]]:
    found = interleaved(servers, connections, options.seconds, options.rounds, folder)
    print(f"{title}\n\n{sample_table(list(found.items()))}\n", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not has_wrk():
        return 1
    print(f"{machine()}; {options.rounds} rounds of {options.seconds} s, medians\n")
    print(aim_table(run(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
