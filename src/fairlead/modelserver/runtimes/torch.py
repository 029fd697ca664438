"""PyTorch artifacts: TorchScript (``.pt``, ``.ts``) and exported programs (``.pt2``).

State dictionaries (``.pth``, ``.bin``, ``.safetensors``) need code that builds the module: the artifact is then given
to the model's ``load`` as ``self.folder / …`` and this runtime only says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.errors import Invalid
from fairlead.modelserver.runtimes.tensors import split
from fairlead.sdk.inputs import Signature, any_signature


class TorchRuntime:
    """Serves one module of one input ``x`` (or those of its ``forward``); a row is nested lists, no batch axis."""

    signature: Signature

    def __init__(self, artifact: str, *, device: str = "cpu") -> None:
        self.warnings: Sequence[str] = ()
        self._artifact = artifact
        self._device = device
        self._module: Any = None

    def load(self, folder: Path) -> None:
        import torch

        path = folder / self._artifact
        if path.suffix == ".pt2":
            self._module = torch.export.load(path).module().to(self._device)
        else:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # torch calls TorchScript old; files stay
                    self._module = torch.jit.load(str(path), map_location=self._device).eval()
            except RuntimeError as error:
                raise Invalid(
                    f"{self._artifact} is no TorchScript: {error}",
                    code="artifact_invalid",
                    hint="save it with torch.jit.save or torch.export.save; for weights alone write an entry that "
                    "builds the module and loads them from self.folder",
                ) from error
        self.signature = any_signature(self._names())

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
        self._module = None


def _single(value: Any) -> Any:
    """Return arrays of doubles as float32, which is what modules are trained in."""
    dtype = getattr(value, "dtype", None)
    return value.astype("float32") if dtype is not None and str(dtype) == "float64" else value
