"""What ``fairlead init model --from FILE`` makes of a model that was trained elsewhere: a folder with a manifest.

Nothing of the file is run here. A pickle is searched for the version that saved it; a program of ONNX is asked what it
takes, where onnxruntime is installed.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from fairlead.bundles import artifacts, disk
from fairlead.bundles.manifest import FILE, RUNTIMES
from fairlead.bundles.pickled import blocks, saved_with
from fairlead.cli.commands import templates
from fairlead.errors import Invalid
from fairlead.modelserver.runtimes.torch import is_script

_BESIDE = (".data", "_data")
"""Endings that exporters put behind the name of a program for the file of its weights."""
_NUMBERS_SHOWN = 64
_OLD_NUMPY = (1, 3)
"""scikit-learn before this one was built for numpy 1 and does not say so."""
_CODE = '''"""Builds the module that the weights belong to. Put your own in place of Net."""

import torch

import fairlead


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Served(fairlead.Model):
    def load(self) -> None:
        self.net = Net().eval()
        self.net.load_state_dict(self.weights, assign=True)

    def predict_batch(self, rows: list[list[float]]) -> list[list[float]]:
        with torch.inference_mode():
            return self.net(torch.tensor(rows)).tolist()
'''


def name_of(file: Path) -> str:
    """Return a name for the model in ``file``: its own, as names are written."""
    return re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:63].strip("-") or "my-model"


def adopt(file: Path, name: str, folder: Path) -> tuple[Path, list[str]]:
    """Make a folder below ``folder`` of the model in ``file`` and its manifest; return it, and what one should know.

    Raises :class:`Invalid` where it is no file that a runtime loads.
    """
    runtime, target = _runtime(file), templates.free(name, folder)
    told: list[str] = []
    unfinished = disk.beside(target)
    unfinished.mkdir()
    try:
        text = f'kind = "model"\nname = "{name}"\n\n[run]\nartifact = {_text(file.name)}\n'
        _copy(file, unfinished)
        text += "".join(f"{line}\n" for line in _more(file, runtime, unfinished, told))
        (unfinished / FILE).write_text(text, encoding="utf-8")
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target, told


def _copy(file: Path, folder: Path) -> None:
    """Copy the file, and the one of its weights where a program keeps them in another."""
    shutil.copy2(file, folder / file.name)
    for beside in (file.with_name(file.name + ending) for ending in _BESIDE):
        if beside.is_file():
            shutil.copy2(beside, folder / beside.name)


def _more(file: Path, runtime: str, folder: Path, told: list[str]) -> Iterator[str]:
    """Yield the lines of the manifest that depend on the file, and write the code that it needs."""
    if runtime == "sklearn":
        yield from _pins(file, told)
    elif runtime == "onnx":
        yield from _example(folder, file.name, told)
    elif runtime == "torch":
        yield from _torch(file, folder, told)


def _torch(file: Path, folder: Path, told: list[str]) -> Iterator[str]:
    """Yield the lines for PyTorch, whose version no file tells, and write the code that weights need."""
    pinned = [f"torch=={_torch_here() or artifacts.TORCH}"]
    if file.suffix.lower() == ".safetensors":
        pinned.append("safetensors")
    if file.suffix.lower() != ".pt2" and not is_script(file):
        yield 'entry = "model:Served"'
        (folder / "model.py").write_text(_CODE, encoding="utf-8")
        told.append("the file holds weights: build their module in place of Net in model.py, then push")
    yield f"requires = {_text(pinned)}"
    whose = "as it is installed here" if _torch_here() else "which this version of Fairlead was tried with"
    told.append(f"requires {pinned[0]}, {whose}: write the version that trained it")
    told.append("what pip finds for Linux has CUDA, several GB; wheels for CPU come from an index or folder of them,")
    told.append("which UV_INDEX or UV_FIND_LINKS names where the platform runs")


def _torch_here() -> str:
    """Return the version of PyTorch beside this program, without what it was built for; nothing where there is none."""
    try:
        return metadata.version("torch").partition("+")[0]
    except metadata.PackageNotFoundError:
        return ""


def _runtime(file: Path) -> str:
    if not file.is_file():
        raise Invalid(f"{file}: no such file", code="artifact_missing", hint="name the file that holds the model")
    runtime = RUNTIMES.get(file.suffix.lower())
    if runtime is None:
        raise Invalid(
            f"{file.name}: its ending tells no runtime",
            code="artifact_unknown",
            hint=f"one of {' '.join(RUNTIMES)}; for any other file: fairlead init model NAME, and read it in load()",
        )
    return runtime


def _pins(file: Path, told: list[str]) -> Iterator[str]:
    """Yield the line that requires what saved a pickle."""
    version = saved_with(file)
    if version is None:
        told.append(f"{file.name} does not tell its version of scikit-learn: add requires below [run]")
        return
    pinned = [f"scikit-learn=={version}"]
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < _OLD_NUMPY:
        pinned.append("numpy<2")
    if _mentions(file, b"_column_transformer"):
        pinned.append("pandas")  # it picks its columns by name
    told.append(f"saved with scikit-learn {version}")
    yield f"requires = {_text(pinned)}"


def _mentions(file: Path, word: bytes) -> bool:
    rest = b""
    for block in blocks(file):
        if word in rest + block:
            return True
        rest = block[-len(word) :]
    return False


def _example(folder: Path, artifact: str, told: list[str]) -> Iterator[str]:
    """Yield a first example for a program, where it tells what it takes and that is short."""
    from fairlead.cli import example
    from fairlead.modelserver.runtimes.onnx import OnnxRuntime

    runtime = OnnxRuntime(artifact)
    try:
        runtime.load(folder)
    except ImportError:
        return
    schema = runtime.signature.schema()
    runtime.close()
    body = example.body(schema)
    if _count(body) > _NUMBERS_SHOWN:
        return
    told.append("the example is made up: put a real one in its place")
    fields = ", ".join(f"{_key(key)} = {_text(value)}" for key, value in body.items())
    yield f'\n[[examples]]\ntitle = "made up"\ninput = {{ {fields} }}'


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _key(name: str) -> str:
    """Return ``name`` as TOML writes a key."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: Any) -> str:
    """Return a text, number or list of such as TOML writes it: JSON's way is one of them."""
    return json.dumps(value, ensure_ascii=False)
