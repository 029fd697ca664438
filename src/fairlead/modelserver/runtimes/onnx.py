"""ONNX models by onnxruntime. A row has one key for each input; answers have the model's own output names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.errors import Invalid
from fairlead.modelserver.runtimes.tensors import bind, row_type, split, stack, stacker
from fairlead.sdk.inputs import Signature, signature_from

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
}
"""Types of onnxruntime's NodeArg.type: https://onnxruntime.ai/docs/api/python/api_summary.html."""
_FORMATS = {"float32": "float"} | {
    name: name for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64")
}
"""Types that a plain number of JSON's schema does not tell: https://spec.openapis.org/registry/format/."""


class OnnxRuntime:
    """Serves one ``.onnx`` file."""

    signature: Signature

    def __init__(self, artifact: str, *, device: str = "cpu") -> None:
        self.warnings: Sequence[str] = ()
        self._artifact = artifact
        self._device = device
        self._session: Any = None
        self._dtypes: dict[str, str] = {}
        self._tails: dict[str, tuple[int, ...]] = {}
        self._stackers: dict[str, Callable[[Sequence[Any]], Any]] = {}
        self._outputs: list[str] = []
        self._one_by_one = False

    def load(self, folder: Path) -> None:
        self._session = session_of(folder / self._artifact, self._device)
        if self._device.startswith("cuda") and "CUDAExecutionProvider" not in self._session.get_providers():
            self.warnings = ("there is a GPU, but this onnxruntime has no CUDA: require onnxruntime-gpu",)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._describe()

    def _describe(self) -> None:
        fields: dict[str, Any] = {}
        for node in self._session.get_inputs():
            dtype = _DTYPES.get(node.type)
            if dtype is None:
                raise Invalid(
                    f"input {node.name} is a {node.type}, which cannot be fed from JSON",
                    code="input_unsupported",
                    hint="export the model with tensor inputs",
                )
            shape = [length if isinstance(length, int) and length > 0 else None for length in node.shape]
            self._one_by_one |= bool(shape) and shape[0] == 1
            tail = shape[1:]
            scalar = tail == [1]  # one column, as converters of tables make them
            self._dtypes[node.name] = dtype
            self._tails[node.name] = (1,) if scalar else ()
            self._stackers[node.name] = stacker(dtype, [] if scalar else tail)
            fields[node.name] = row_type(_kind(dtype), [] if scalar else tail, _FORMATS.get(dtype, ""))
        answers = {node.name: _answer_type(node) for node in self._session.get_outputs()}
        self.signature = signature_from(fields, returns=answers)

    def infer(self, batch: Sequence[Any]) -> Sequence[Any]:
        if self._one_by_one and len(batch) > 1:
            return [self.infer([row])[0] for row in batch]
        columns = self.signature.columns(batch)
        feed = {}
        for (name, stacked), column in zip(self._stackers.items(), columns, strict=True):
            array = stacked(column)
            feed[name] = array.reshape(len(batch), 1) if self._tails[name] else array
        outputs = self._session.run(self._outputs, feed)
        return split(dict(zip(self._outputs, outputs, strict=True)), len(batch))

    def call(self, *rows: Any, **named: Any) -> Mapping[str, Any]:
        bound = bind(list(self._dtypes), rows, named)
        feed = {name: stack(value, self._dtypes[name]) for name, value in bound.items()}
        return dict(zip(self._outputs, self._session.run(None, feed), strict=True))

    def close(self) -> None:
        self._session = None


def session_of(path: Path, device: str = "cpu") -> Any:
    """Return onnxruntime's session of the program at ``path``, on ``device`` where it can be.

    Raises :class:`Invalid` (``artifact_unreadable``) with what to do.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at import; its collector must never be called
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("FAIRLEAD_THREADS", "1"))
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if os.environ.get("ORT_DISABLE_PREPACKING") == "1":
        # else matrices are rearranged for the processor, in memory of each replica's own
        options.add_session_config_entry("session.disable_prepacking", "1")
    cuda = device.startswith("cuda") and "CUDAExecutionProvider" in ort.get_available_providers()
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"] if cuda else ["CPUExecutionProvider"]
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # a class for each fault, and none in common
        raise _unreadable(path, error, ort.__version__) from error


def _unreadable(path: Path, error: Exception, version: str) -> Invalid:
    """Return what is wrong with a program, and what to do about it."""
    said = str(error).partition("\n")[0].replace(f"{path.parent}/", "")
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : |/onnxruntime_src/\S+ .*\) (?=[A-Z])", "", said)[:300]
    hint = "is the file whole? export it again"
    if (missing := re.search(r'[Ee]xternal data.*"([^"]+)"', said)) is not None:
        said = f"its weights are in {missing[1]}, which is not in the bundle"
        hint = f"copy {missing[1]} beside it, as the exporter wrote both"
    elif re.search(r"IR version|opset|not a registered function|NOT_IMPLEMENTED", said):
        hint = f"onnxruntime {version} does not know it: require a newer one, or export it for an older opset"
    return Invalid(f"{path.name} cannot be loaded: {said}", code="artifact_unreadable", hint=hint)


def _kind(dtype: str) -> str:
    return {"str": "U", "bool": "b"}.get(dtype) or ("f" if "float" in dtype else "i")


def _answer_type(node: Any) -> Any:
    """Return the annotation of one row of an output; anything, where it is no tensor or has no known rank."""
    dtype = _DTYPES.get(node.type)
    if dtype is None or not node.shape:
        return Any
    return row_type(
        _kind(dtype), [length if isinstance(length, int) and length > 0 else None for length in node.shape[1:]]
    )
