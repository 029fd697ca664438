"""What replicas share of their weights: the memory of 4 replicas of models with 100 MB of them, by format.

python benchmarks/shared.py
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from installed import Installed, installed
from measure import Aimed, alone

from fairlead.supervisor import proc

REPLICAS = 4
SIDE = 5120
"""Of a square of float32: 100 MB."""
WEIGHTS_MB = SIDE * SIDE * 4 / 1024**2
CODE = """
import numpy as np


class Model:
    def load(self):
        self.weights = np.load("weights.npy"{how})
        self.total = float(self.weights.sum())

    def predict(self, row: int = 0) -> float:
        return float(self.weights[row].sum())
"""


class Held(NamedTuple):
    """Memory of the replicas of one model, in MB."""

    name: str
    all_mb: float
    """Proportional set of the zygote and all replicas."""


def onnx(folder: Path, *, external: bool) -> str:
    import numpy
    from onnx import TensorProto, helper, numpy_helper, save_model

    weights = numpy_helper.from_array(numpy.ones((SIDE, SIDE), dtype=numpy.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, SIDE])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save_model(model, folder / "model.onnx", save_as_external_data=external, location="model.onnx.data")
    return f'runtime = "onnx"\nartifact = "model.onnx"\nrequires = ["onnxruntime=={version("onnxruntime")}"]\n'


def code(folder: Path, *, how: str) -> str:
    import numpy

    numpy.save(folder / "weights.npy", numpy.ones((SIDE, SIDE), dtype=numpy.float32))
    (folder / "model.py").write_text(CODE.replace("{how}", how))
    return f'entry = "model:Model"\nrequires = ["numpy=={version("numpy")}"]\n'


Kinds = dict[str, tuple[Callable[[Path], str], str]]
KINDS: Kinds = {
    "ONNX, weights in the file": (lambda folder: onnx(folder, external=False), ""),
    "ONNX, weights beside the file": (lambda folder: onnx(folder, external=True), ""),
    "the same, ORT_DISABLE_PREPACKING=1": (
        lambda folder: onnx(folder, external=True),
        '[run.env]\nORT_DISABLE_PREPACKING = "1"\n',
    ),
    "code, numpy.load": (lambda folder: code(folder, how=""), ""),
    'code, numpy.load, mmap_mode="r"': (lambda folder: code(folder, how=', mmap_mode="r"'), ""),
}


def held(platform: Installed, name: str, model: str) -> Held:
    """Return what the replicas of ``model`` hold once all are there."""
    platform.until(lambda: len(platform.replicas(model)) == REPLICAS, f"{REPLICAS} replicas of {model}")
    path = f"/api/v1/models/{model}/scaling"
    platform.until(lambda: f'"ready":{REPLICAS}'.encode() in platform.ask("GET", path).body.replace(b" ", b""), path)
    pids = [*platform.zygotes(model), *platform.replicas(model)]
    return Held(name, sum(map(proc.memory_mb, pids)))


def measure() -> list[Held]:
    found = []
    with installed() as platform, tempfile.TemporaryDirectory() as root:
        platform.start()
        for number, (name, (write, more)) in enumerate(KINDS.items()):
            model = f"shared-{number}"
            folder = Path(root) / model
            folder.mkdir()
            said = write(folder)
            scale = f"[scale]\nmin = {REPLICAS}\nmax = {REPLICAS}\n[resources]\ncpu = 0.1\nmemory_mb = 2048\n"
            text = f'kind = "model"\nname = "{model}"\n[run]\n{said}{more}{scale}'
            (folder / "fairlead.toml").write_text(text)
            platform.push(folder)
            found.append(held(platform, name, model))
    return found


def run(options: argparse.Namespace) -> tuple[str, list[Aimed]]:
    """Return the part of the page; nothing is aimed at."""
    lines = [f"| {one.name} | {one.all_mb:,.0f} |" for one in measure()]
    text = f"""## Weights that replicas share

{REPLICAS} replicas of a model with {WEIGHTS_MB:.0f} MB of weights: proportional set of the zygote and all replicas. A
zygote imports libraries and loads no model: each replica loads its own after the fork.

| weights | MB in all |
|---|--:|
{chr(10).join(lines)}
"""
    return text, []


def arguments() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)


if __name__ == "__main__":
    alone(run, arguments())
