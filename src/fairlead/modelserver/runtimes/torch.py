"""PyTorch artifacts: TorchScript (``.pt``, ``.ts``), exported programs (``.pt2``), and states.

A state (``state_dict()`` saved with ``torch.save``, or ``.safetensors``) is weights without a program: the entry builds
the module and fills it from ``self.weights``. States are read without running what a pickle may hold, and mapped into
memory, so that replicas share their pages until somebody writes to them.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.errors import Invalid
from fairlead.modelserver.runtimes.tensors import split
from fairlead.sdk.inputs import Signature, any_signature

_SAVE = (
    "save the program with torch.export.save or torch.jit.save, or the weights with torch.save(module.state_dict(), …) "
    "and an entry that builds the module and fills it from self.weights"
)
_SAID_MAX = 300


class TorchRuntime:
    """Serves one module of one input ``x`` (or those of its ``forward``); a row is nested lists, no batch axis."""

    signature: Signature

    def __init__(self, artifact: str, *, device: str = "cpu", has_code: bool = False) -> None:
        self.warnings: Sequence[str] = ()
        self.weights: Mapping[str, Any] | None = None
        """Of a state: tensors by name."""
        self._has_code = has_code
        self._artifact = artifact
        self._device = device
        self._module: Any = None

    def load(self, folder: Path) -> None:
        import torch

        path = folder / self._artifact
        if path.suffix == ".pt2":
            self._module = torch.export.load(path).module().to(self._device)
        elif path.suffix == ".safetensors":
            self.weights = _safetensors(path, self._device)
        elif is_script(path):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # torch calls TorchScript old; files stay
                self._module = torch.jit.load(str(path), map_location=self._device).eval()
        else:
            self.weights = _state(path, self._device)
        if self._module is not None:
            self.signature = any_signature(self._names())
        elif not self._has_code:
            raise Invalid(
                f"{self._artifact} holds weights and no program",
                code="artifact_invalid",
                hint="name an entry that builds the module and fills it from self.weights, or save it with "
                "torch.export.save",
            )
        else:
            self.signature = any_signature(())

    def _names(self) -> tuple[str, ...]:
        schema = getattr(getattr(self._module, "forward", None), "schema", None)
        if schema is None:
            return ("x",)
        return tuple(argument.name for argument in schema.arguments if argument.name != "self")

    def infer(self, batch: Sequence[Any]) -> Sequence[Any]:
        import numpy as np

        columns = self.signature.columns(batch)
        return split(self.call(*[_single(np.asarray(column)) for column in columns]), len(batch))

    def call(self, *rows: Any, **named: Any) -> Mapping[str, Any]:
        import torch

        if self._module is None:
            raise TypeError(f"{self._artifact} holds weights and no program: call the module that load() built")

        def tensor(value: Any) -> Any:
            return torch.as_tensor(_single(value)).to(self._device)

        with torch.inference_mode():
            given = {name: tensor(value) for name, value in named.items()}
            result = self._module(*[tensor(value) for value in rows], **given)
        if isinstance(result, dict):
            return {name: value.cpu().numpy() for name, value in result.items()}
        many = result if isinstance(result, list | tuple) else [result]
        names = ["output"] if len(many) == 1 else [f"output_{index}" for index in range(len(many))]
        return {name: value.cpu().numpy() for name, value in zip(names, many, strict=True)}

    def close(self) -> None:
        self._module = self.weights = None


def is_script(path: Path) -> bool:
    """Whether the file is TorchScript: a zip with its code, which a state has not."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _state(path: Path, device: str) -> Mapping[str, Any]:
    """Return a saved ``state_dict``; raises :class:`Invalid` for anything else, and runs none of it."""
    import torch

    mapped = zipfile.is_zipfile(path)
    try:
        found = torch.load(path, map_location=device, weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        is_cut = isinstance(error, EOFError) or (not mapped and _begins(path, b"PK\x03\x04"))
        raise Invalid(
            f"{path.name} is neither a program nor weights: {_said(error)}",
            code="artifact_invalid",
            hint="the file is not whole: copy it again" if is_cut else _SAVE,
        ) from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]  # what training frameworks keep beside the weights is not needed
    if not isinstance(found, Mapping):
        raise Invalid(f"{path.name} holds a {type(found).__name__}", code="artifact_invalid", hint=_SAVE)
    return found


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _said(error: Exception) -> str:
    """Return what an error of torch says, which goes on for many lines: whole sentences, as far as a person reads."""
    text = " ".join(str(error).split()) or type(error).__name__
    if len(text) <= _SAID_MAX:
        return text
    cut = text[:_SAID_MAX]
    end = max(cut.rfind(mark) for mark in (". ", "? ", "! "))
    return cut[: end + 1] if end > 0 else f"{cut.rpartition(' ')[0]} …"


def _safetensors(path: Path, device: str) -> Mapping[str, Any]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        hint = 'add "safetensors" to [run] requires'
        raise Invalid(f"{path.name} needs the package safetensors", code="artifact_invalid", hint=hint) from error
    weights: Mapping[str, Any] = load_file(path, device=device)
    return weights


def _single(value: Any) -> Any:
    """Return arrays of doubles as float32, which is what modules are trained in."""
    dtype = getattr(value, "dtype", None)
    return value.astype("float32") if dtype is not None and str(dtype) == "float64" else value
