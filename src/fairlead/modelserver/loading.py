"""From a spec and a folder to a loaded model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fairlead.errors import Invalid
from fairlead.messages import ModelSpec
from fairlead.modelserver.runtimes.port import ArtifactRuntime, Endpoint, Runtime
from fairlead.modelserver.runtimes.python import PythonRuntime


class Loaded:
    """A model ready to be asked."""

    def __init__(self, runtime: Runtime, endpoints: dict[str, Endpoint], warnings: Sequence[str]) -> None:
        self.endpoints = endpoints
        self.warnings = tuple(warnings)
        self._runtime = runtime

    def close(self) -> None:
        self._runtime.close()


def settle(spec: ModelSpec, folder: Path) -> None:
    """Make the environment and the working folder of this process the model's own."""
    os.environ.update(spec.env)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.chdir(folder)


def load(spec: ModelSpec, folder: Path, device: str = "cpu", compiled: Path | None = None) -> Loaded:
    """Load what ``spec`` names in ``folder``; raises :class:`Invalid`, or whatever the bundle's code raises.

    ``compiled`` holds the program that takes the artifact's place. This process becomes the model's own.
    """
    settle(spec, folder)
    artifact = _artifact(spec, device, compiled)
    if artifact is not None:
        artifact.load(folder)
    if spec.entry is None:
        if artifact is None:
            raise Invalid("the bundle names neither artifact nor entry", code="nothing_to_run")
        native = compiled is not None or spec.runtime == "onnx"
        endpoint = Endpoint("predict", artifact.signature, artifact.infer, together=True, native=native)
        return Loaded(artifact, {"predict": endpoint}, artifact.warnings)
    python = PythonRuntime(spec.entry, device=device, artifact=artifact)
    python.load(folder)
    return Loaded(python, python.endpoints, [*(artifact.warnings if artifact else ()), *python.warnings])


def refuse_heavy(held_bytes: int, limit_mb: int) -> None:
    """Raise :class:`Invalid` (``oom``) where a model that is loaded holds more than it may; 0: any number."""
    held_mb = held_bytes / 1024**2
    if limit_mb and held_mb > limit_mb:
        raise Invalid(
            f"it holds {held_mb:.0f} MB of memory once it is loaded, more than memory_mb = {limit_mb}",
            code="oom",
            hint="load less, or raise memory_mb below [resources] in fairlead.toml",
        )


def _artifact(spec: ModelSpec, device: str, compiled: Path | None) -> ArtifactRuntime | None:
    """Return the runtime of the artifact; each is imported only where it is used."""
    if spec.artifact is None or spec.runtime == "python":
        return None
    if compiled is not None:
        from fairlead.modelserver.runtimes.compiled import CompiledRuntime

        return CompiledRuntime(compiled)
    if spec.runtime == "sklearn":
        from fairlead.modelserver.runtimes.sklearn import SklearnRuntime

        return SklearnRuntime(spec.artifact)
    if spec.runtime == "onnx":
        from fairlead.modelserver.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(spec.artifact, device=device)
    if spec.runtime == "torch":
        from fairlead.modelserver.runtimes.torch import TorchRuntime

        return TorchRuntime(spec.artifact, device=device, has_code=spec.entry is not None)
    raise Invalid(f"runtime {spec.runtime}: unknown", code="runtime_unknown", hint="sklearn, onnx, torch or python")
