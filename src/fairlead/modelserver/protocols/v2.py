"""Requests of the Open Inference Protocol (v2) over HTTP: tensors to rows. ``v2_answers`` is the way back.

Formats: https://github.com/kserve/open-inference-protocol (inference_rest.md) and the binary tensor data extension,
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol/binary-tensor-data-extension:
a JSON head of ``Inference-Header-Content-Length`` bytes, then the tensors in its order, little-endian, row-major.

numpy is used only where a model asks for arrays: bundles without it take binary tensors too.
"""

from __future__ import annotations

import base64
import math
import struct
import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from fairlead.errors import Invalid
from fairlead.modelserver.protocols.tensors import ANY, BASE64, FILE, JSON_TEXT, Declared
from fairlead.sdk.files import File
from fairlead.sdk.inputs import Signature
from fairlead.sdk.tensors import TensorShape

HEAD_LENGTH = "inference-header-content-length"
BYTES = "BYTES"
CODES = {"BOOL": "?", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT16": "H"} | {
    "UINT32": "I",
    "UINT64": "Q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
"""Datatypes and their characters in :mod:`struct`, whose standard sizes are the protocol's."""
LENGTH = struct.Struct("<I")
_TIMEOUT_END_US = 2**53
"""Longer is endless: the model's own bounds a call anyway."""
NOT_HERE = ("shared_memory_region",)


class InputTensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class AskedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class Head(msgspec.Struct):
    """The JSON of a request."""

    inputs: list[InputTensor]
    id: str | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] = {}
    outputs: list[AskedOutput] = []


def wrong(message: str, hint: str = "") -> Invalid:
    return Invalid(message, code="tensor_invalid", hint=hint)


def read(body: bytes, head_length: str, inputs: Sequence[Declared]) -> tuple[Head, memoryview]:
    """Return the head of a request and the bytes of its binary tensors; raises :class:`Invalid`."""
    if not head_length:
        return _head(body), memoryview(b"")
    if not head_length.isascii() or not head_length.isdigit() or int(head_length) > len(body):
        raise wrong(
            f"{HEAD_LENGTH}: {head_length} is not a length within the body of {len(body)} bytes",
            "give the number of bytes of the JSON; the tensors follow it",
        )
    length = int(head_length)
    rest = memoryview(body)[length:]
    return (_head(body[:length]) if length else _raw_head(len(rest), inputs)), rest


def _head(text: bytes) -> Head:
    try:
        return _decode_head(text)
    except (msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise wrong(
            f"the request is no inference request: {error}", "inputs: [{name, shape, datatype, data}]"
        ) from error
    except msgspec.DecodeError as error:
        hint = f"is {HEAD_LENGTH} the length of the JSON?" if text[:1] == b"{" else "send an inference request"
        raise Invalid(f"the body is not JSON: {error}", code="invalid_json", hint=hint) from error


_decode_head = msgspec.json.Decoder(Head).decode


def _raw_head(size: int, inputs: Sequence[Declared]) -> Head:
    """Return the head of a request that has none: all of the body is the one input, and so are the answers binary."""
    kind = inputs[0].kind if len(inputs) == 1 else None
    if kind is None or kind.datatype == BYTES or -1 in kind.dims:
        raise wrong(
            "a body without JSON fits a model with one input of numbers of a fixed shape only",
            f"send the JSON too, and its length in {HEAD_LENGTH}",
        )
    row = math.prod(kind.dims) * struct.calcsize(f"<{CODES[kind.datatype]}")
    tensor = InputTensor(
        inputs[0].name, [size // row, *kind.dims], kind.datatype, parameters={"binary_data_size": size}
    )
    return Head(inputs=[tensor], parameters={"binary_data_output": True})


def timeout_of(head: Head) -> float:
    """Return the seconds that the caller gives (parameter ``timeout``, in microseconds); endless without it."""
    asked = head.parameters.get("timeout")
    return asked / 1e6 if type(asked) is int and 0 < asked < _TIMEOUT_END_US else math.inf


def rows_of(head: Head, rest: memoryview, inputs: Sequence[Declared], signature: Signature) -> list[Any]:
    """Return the rows of a request; raises :class:`Invalid` for tensors that do not fit each other or the model."""
    declared = {one.name: one for one in inputs}
    arrays = _array_inputs(signature)
    columns: dict[str, list[Any]] = {}
    for tensor in head.inputs:
        known = declared.get(tensor.name)
        if known is None or tensor.name in columns:
            said = f"input {tensor.name} {'is there twice' if known else 'is not one of the model'}"
            raise wrong(said, f"its inputs: {', '.join(declared)}")
        raw, rest = _binary(tensor, rest)
        columns[tensor.name] = _column(tensor, raw, known, as_array=tensor.name in arrays)
    if rest:
        raise wrong(f"{len(rest)} bytes follow the last tensor", "binary_data_size of each input tells its length")
    missing = [one.name for one in inputs if not one.optional and one.name not in columns]
    if missing:
        raise wrong(f"input {missing[0]} is missing", f"the model takes: {', '.join(declared)}")
    counts = {len(column) for column in columns.values()}
    if len(counts) != 1:
        said = ", ".join(f"{name} has {len(column)}" for name, column in columns.items()) or "there is no input"
        raise wrong(f"inputs differ in their rows: {said}", "the first axis of every input is the batch")
    names = list(columns)
    return signature.take_many([dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)])


def _array_inputs(signature: Signature) -> frozenset[str]:
    """Return the names of inputs that the model takes as arrays: they need not become lists on their way."""
    pairs = zip(signature.parameters, signature.shapes, strict=True)
    return frozenset(one.name for one, shape in pairs if isinstance(shape, TensorShape))


def _binary(tensor: InputTensor, rest: memoryview) -> tuple[memoryview | None, memoryview]:
    """Return a tensor's own bytes (none where it is JSON) and what follows them."""
    for name in NOT_HERE:
        if name in tensor.parameters:
            raise wrong(f"input {tensor.name}: {name} is not offered here", "send the tensor itself")
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        return None, rest
    if type(size) is not int or not 0 <= size <= len(rest):
        raise wrong(f"input {tensor.name}: binary_data_size {size}, but {len(rest)} bytes are left")
    if tensor.data is not msgspec.UNSET:
        raise wrong(f"input {tensor.name} has data and binary_data_size", "send one of them")
    return rest[:size], rest[size:]


def _column(tensor: InputTensor, raw: memoryview | None, known: Declared, *, as_array: bool) -> list[Any]:
    """Return a tensor row by row, each as the model wants it."""
    name, shape = tensor.name, _row_shape(tensor, known)
    if tensor.datatype != BYTES and tensor.datatype not in CODES:
        raise wrong(f"input {name}: datatype {tensor.datatype} is not known", f"one of {', '.join((*CODES, BYTES))}")
    count = math.prod(shape)
    if raw is None:
        flat = _from_json(tensor, count)
    elif tensor.datatype == BYTES:
        flat = _read_bytes(name, raw, known)
    else:
        code = CODES[tensor.datatype]
        if len(raw) != count * struct.calcsize(f"<{code}"):
            raise wrong(f"input {name}: {len(raw)} bytes are not {tensor.datatype} of shape {tensor.shape}")
        if as_array:
            return _array_rows(raw, tensor.datatype, shape)
        flat = _read_numbers(raw, code)
    if len(flat) != count:
        raise wrong(f"input {name} has {len(flat)} elements, its shape {tensor.shape} says {count}")
    if known.kind.content == JSON_TEXT and tensor.datatype == BYTES:
        flat = [_parsed(name, one) for one in flat]
    return _nested(flat, shape)


def _row_shape(tensor: InputTensor, known: Declared) -> tuple[int, ...]:
    """Return the tensor's shape as the model has it: a scalar input may come as [n, 1]."""
    shape, dims = tuple(tensor.shape), known.kind.dims
    if not shape or any(length < 1 for length in shape):
        raise wrong(f"input {tensor.name}: shape {tensor.shape} has no rows", "the first axis is the batch, 1 or more")
    if known.kind.content == ANY:
        return shape
    if not dims and shape[1:] == (1,):
        return shape[:1]
    fits = len(shape) == len(dims) + 1 and all(want in (-1, have) for want, have in zip(dims, shape[1:], strict=True))
    if not fits:
        wanted = [-1, *dims]
        raise wrong(f"input {tensor.name} has shape {tensor.shape}, the model takes {wanted}", "-1 is any length")
    return shape


def _from_json(tensor: InputTensor, count: int) -> list[Any]:
    if tensor.data is msgspec.UNSET:
        raise wrong(f"input {tensor.name} has no data", "give data, or binary_data_size and the bytes")
    if tensor.datatype == "FP16":
        raise wrong(f"input {tensor.name}: JSON has no FP16", "send it as binary data, or as FP32")
    kind: Any = {"BOOL": bool, BYTES: str}.get(tensor.datatype) or (float if "FP" in tensor.datatype else int)
    try:
        try:
            flat: list[Any] = msgspec.json.decode(tensor.data, type=list[kind])
        except msgspec.ValidationError:
            found = flatten(msgspec.json.decode(tensor.data))
            if found is None or (len(found[1]) > 1 and found[1] != tuple(tensor.shape)):
                raise wrong(f"input {tensor.name}: data is not nested as shape {tensor.shape} says") from None
            flat = msgspec.convert(found[0], list[kind])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise wrong(f"input {tensor.name} is no {tensor.datatype}: {error}") from error
    if kind is int and flat and len(flat) == count:
        bits = 8 * struct.calcsize(f"<{CODES[tensor.datatype]}")
        low, high = (0, 2**bits) if tensor.datatype[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        if min(flat) < low or max(flat) >= high:
            raise wrong(f"input {tensor.name}: a number is out of the range of {tensor.datatype}")
    return flat


def _read_numbers(raw: memoryview, code: str) -> list[Any]:
    if code == "e" or sys.byteorder == "big":
        return list(struct.unpack(f"<{len(raw) // struct.calcsize(f'<{code}')}{code}", raw))
    return raw.cast(code).tolist()  # type: ignore[call-overload,no-any-return]


def _array_rows(raw: memoryview, datatype: str, shape: tuple[int, ...]) -> list[Any]:
    import numpy as np

    array = np.frombuffer(raw, dtype=np.dtype(CODES[datatype]).newbyteorder("<"))
    return list(array.reshape(shape).copy())  # a model may write into what it was given


def _read_bytes(name: str, raw: memoryview, known: Declared) -> list[Any]:
    """Return the elements of a binary BYTES tensor: 4 bytes of length and the bytes, each."""
    found: list[Any] = []
    position = 0
    while position < len(raw):
        start = position + LENGTH.size
        end = start + LENGTH.unpack_from(raw, position)[0] if start <= len(raw) else start
        if end > len(raw):
            raise wrong(f"input {name}: element {len(found)} of BYTES ends beyond the tensor")
        found.append(bytes(raw[start:end]))
        position = end
    if known.kind.content == FILE:
        return [File(one) for one in found]
    if known.kind.content == BASE64:
        return [base64.b64encode(one).decode("ascii") for one in found]
    try:
        return [one.decode() for one in found]
    except UnicodeDecodeError as error:
        raise wrong(f"input {name} is not UTF-8: {error}") from error


def _parsed(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise wrong(
            f"input {name}: an element is not JSON: {error}", "this input is an object: send its JSON"
        ) from error


def _nested(flat: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return ``flat``, row-major, as nested lists of ``shape``."""
    for length in reversed(shape[1:]):
        flat = [flat[start : start + length] for start in range(0, len(flat), length)]
    return flat


def flatten(values: Any) -> tuple[list[Any], tuple[int, ...]] | None:
    """Return nested lists flat, and their shape; none where they are ragged or no lists."""
    if not isinstance(values, list | tuple):
        return None
    shape = [len(values)]
    while any(isinstance(one, list | tuple) for one in values):
        width = len(values[0]) if isinstance(values[0], list | tuple) else -1
        if any(not isinstance(one, list | tuple) or len(one) != width for one in values):
            return None
        shape.append(width)
        values = list(chain.from_iterable(values))
    return list(values), tuple(shape)
