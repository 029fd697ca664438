"""Answers as tensors of the Open Inference Protocol (v2): JSON, or binary behind a head of JSON (see ``v2``)."""

from __future__ import annotations

import base64
import math
import struct
import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from fairlead.modelserver.calls import Reply
from fairlead.modelserver.protocols.answers import JSON, encode_json, plain
from fairlead.modelserver.protocols.tensors import OUTPUT
from fairlead.modelserver.protocols.v2 import BYTES, CODES, LENGTH, NOT_HERE, AskedOutput, Head, flatten, wrong
from fairlead.sdk.files import File

BINARY = "application/octet-stream"
_OF_NUMPY = {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64"} | {
    f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_INT64 = (-(2**63), 2**63)


class TensorReply(Reply):
    """An answer with binary tensors behind ``head_length`` bytes of JSON."""

    __slots__ = ("head_length",)

    def __init__(self, body: bytes, head_length: int) -> None:
        super().__init__(body, BINARY)
        self.head_length = head_length


class OutputTensor(msgspec.Struct):
    """One output; ``flat`` are its elements, row-major: numbers, texts, bytes, or a numpy array of them."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    flat: Any
    parameters: dict[str, Any] = {}


def write(head: Head, name: str, version: str, answers: Sequence[Any]) -> Reply:
    """Return the response to ``head``, the answers row by row; raises :class:`Invalid` for outputs there are not."""
    tensors = outputs(answers)
    asked = head.outputs or [AskedOutput(one) for one in tensors]
    as_binary = head.parameters.get("binary_data_output") is True
    views: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for one in asked:
        tensor = tensors.get(one.name)
        if tensor is None:
            raise wrong(f"there is no output {one.name}", f"the model gives: {', '.join(tensors)}")
        if refused := [key for key in NOT_HERE if one.parameters.get(key)]:
            raise wrong(f"output {one.name}: {refused[0]} is not offered here", "take the tensor itself")
        if "classification" in one.parameters:
            tensor = classified(tensor, one.parameters["classification"])
        view: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if one.parameters.get("binary_data", as_binary) is True:
            blobs.append(_to_binary(tensor))
            view["parameters"] = tensor.parameters | {"binary_data_size": len(blobs[-1])}
        else:
            view |= {"parameters": tensor.parameters} if tensor.parameters else {}
            view["data"] = _to_json(tensor)
        views.append(view)
    given = {} if head.id is msgspec.UNSET else {"id": head.id}
    text = encode_json({"model_name": name, "model_version": version, **given, "outputs": views})
    return TensorReply(b"".join((text, *blobs)), len(text)) if blobs else Reply(text, JSON)


def classified(tensor: OutputTensor, count: Any) -> OutputTensor:
    """Return the ``count`` highest values of each row as texts ``value:index``, with ``:label`` where it is known.

    As https://github.com/triton-inference-server/server writes it (docs/protocol/extension_classification.md); raises
    :class:`Invalid` where the tensor is no row of numbers for each row.
    """
    if type(count) is not int or count < 1:
        raise wrong(
            f"output {tensor.name}: classification {count!r} is no count", "how many classes of each row: 1 or more"
        )
    if len(tensor.shape) != 2 or not tensor.shape[1] or tensor.datatype in (BYTES, "BOOL"):
        raise wrong(f"output {tensor.name} has no classes", "classification needs a list of numbers for each row")
    width = tensor.shape[1]
    flat = tensor.flat.ravel().tolist() if hasattr(tensor.flat, "tolist") else tensor.flat
    keys = tensor.parameters.get("keys")
    labels = [f":{key}" for key in msgspec.json.decode(keys)] if keys else [""] * width
    found: list[str] = []
    for start in range(0, len(flat), width):
        row = flat[start : start + width]
        best = sorted(range(width), key=lambda place: (math.isnan(row[place]), -row[place], place))[:count]
        found += [f"{row[place]:f}:{place}{labels[place]}" for place in best]
    return OutputTensor(tensor.name, BYTES, (tensor.shape[0], min(count, width)), found)


def outputs(answers: Sequence[Any]) -> dict[str, OutputTensor]:
    """Return ``answers``, one a row, as tensors by name; answers that are no objects are the one ``output``."""
    rows = [_named(one) for one in answers]
    names = dict.fromkeys(chain.from_iterable(rows))
    return {name: _output(name, [row.get(name) for row in rows]) for name in names}


def _named(answer: Any) -> dict[str, Any]:
    if type(answer) is dict:
        return answer
    if isinstance(answer, msgspec.Struct):
        return {name: getattr(answer, name) for name in answer.__struct_fields__}
    if isinstance(answer, dict):
        return dict(answer)
    if hasattr(answer, "__dataclass_fields__"):
        return {name: getattr(answer, name) for name in answer.__dataclass_fields__}
    if hasattr(answer, "model_dump"):
        return dict(answer.model_dump(mode="json"))
    return {OUTPUT: answer}


def _output(name: str, values: list[Any]) -> OutputTensor:
    found = _as_array(name, values) or _as_files(name, values) or _as_elements(name, values)
    if found is None:  # what JSON makes of it: numpy within lists, moments, enums
        values = msgspec.json.decode(encode_json(values))
        found = _as_elements(name, values)
    if found is None:  # ragged lists, objects: one JSON text a row
        texts = [encode_json(one).decode() for one in values]
        found = OutputTensor(name, BYTES, (len(values),), texts, {"content_type": JSON})
    return found


def _as_files(name: str, values: list[Any]) -> OutputTensor | None:
    if not all(isinstance(one, File) for one in values):
        return None
    kinds = {one.media_type for one in values}
    return OutputTensor(name, BYTES, (len(values),), values, {"content_type": kinds.pop()} if len(kinds) == 1 else {})


def _as_elements(name: str, values: list[Any]) -> OutputTensor | None:
    """Return rows that are numbers, texts or truth values, lists of one shape of them, or objects of numbers."""
    parameters: dict[str, Any] = {}
    if all(isinstance(one, dict) and one for one in values) and len({tuple(one) for one in values}) == 1:
        parameters = {"keys": encode_json([str(key) for key in values[0]]).decode()}
        values = [list(one.values()) for one in values]
    flat = flatten(values)
    datatype = _datatype(flat[0]) if flat is not None else None
    if flat is None or datatype is None or (parameters and datatype in (BYTES, "BOOL")):
        return None
    elements, shape = flat
    if datatype == "FP64":
        elements = [math.nan if one is None else float(one) for one in elements]
    return OutputTensor(name, datatype, shape, elements, parameters)


def _as_array(name: str, values: list[Any]) -> OutputTensor | None:
    """Return rows that are numpy's as they are: their datatype is the model's own."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not all(isinstance(one, numpy.ndarray | numpy.generic) for one in values):
        return None
    if len({(one.dtype, one.shape) for one in values}) != 1 or values[0].dtype.name not in _OF_NUMPY:
        return None
    array = numpy.stack(values)
    return OutputTensor(name, _OF_NUMPY[array.dtype.name], array.shape, array)


def _datatype(elements: list[Any]) -> str | None:
    """Return the datatype that holds all ``elements``; none: they are no numbers, texts or truth values alone."""
    kinds = set(map(type, elements))
    if not kinds or kinds == {float} or kinds in ({float, type(None)}, {int, float}, {int, float, type(None)}):
        return "FP64"
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        low, high = min(elements), max(elements)
        return "INT64" if low >= _INT64[0] and high < _INT64[1] else "UINT64" if low >= 0 and high < 2**64 else None
    if kinds == {int, type(None)}:
        return "FP64"
    return BYTES if kinds in ({str}, {bytes}) else None


def _to_json(tensor: OutputTensor) -> Any:
    flat = tensor.flat
    if hasattr(flat, "tolist"):
        return flat.ravel().tolist()
    if tensor.datatype != BYTES:
        return flat
    return [_text(one) for one in flat]


def _text(element: Any) -> str:
    """Return an element of BYTES as JSON has it: files are ``data:`` URLs, other bytes base64."""
    if isinstance(element, bytes):
        return base64.b64encode(element).decode("ascii")
    return element if isinstance(element, str) else str(plain(element))


def _to_binary(tensor: OutputTensor) -> bytes:
    flat, code = tensor.flat, CODES.get(tensor.datatype, "")
    if hasattr(flat, "tolist"):
        array = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
        return bytes(array.tobytes())
    if tensor.datatype != BYTES:
        return struct.pack(f"<{len(flat)}{code}", *flat)
    raw = [one.read() if isinstance(one, File) else one.encode() if isinstance(one, str) else one for one in flat]
    return b"".join(chain.from_iterable((LENGTH.pack(len(one)), one) for one in raw))
