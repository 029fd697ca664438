"""Examples of a bundle: bodies to warm up with, and answers that must hold before traffic comes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from fairlead.messages import ExampleSpec
from fairlead.sdk.files import File
from fairlead.sdk.inputs import Signature

_RELATIVE = 1e-3
_ABSOLUTE = 1e-6


def body_of(example: ExampleSpec, signature: Signature, folder: Path) -> bytes:
    """Return the JSON body of ``example``; where the model takes files, texts that name one of the bundle become it."""
    value = example.input
    takes_files = b'"contentEncoding"' in msgspec.json.encode(signature.schema())
    if takes_files:
        if isinstance(value, str) and signature.only_file is not None:
            value = {signature.only_file: value}
        value = _with_files(value, folder.resolve())
    return msgspec.json.encode(value)


def _with_files(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _with_files(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_files(item, folder) for item in value]
    if isinstance(value, str) and 0 < len(value) < 256 and not value.startswith("data:") and "\0" not in value:
        path = (folder / value).resolve()
        if path.is_relative_to(folder) and path.is_file():
            return File(path).data_url()
    return value


def difference(expected: Any, got: Any, path: str = "") -> str:
    """Return how ``got`` differs from ``expected``, or nothing; objects may hold more, floats may be 0.1 % off."""
    where = f"{path}: " if path else ""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key, value in expected.items():
            inner = f"{path}.{key}" if path else str(key)
            if key not in got:
                return f"{inner}: is missing"
            found = difference(value, got[key], inner)
            if found:
                return found
        return ""
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{where}{len(got)} items instead of {len(expected)}"
        pairs = enumerate(zip(expected, got, strict=True))
        return next((found for i, (a, b) in pairs if (found := difference(a, b, f"{path}[{i}]"))), "")
    numbers = (int, float)
    if isinstance(expected, numbers) and isinstance(got, numbers) and not isinstance(expected, bool):
        if math.isclose(expected, got, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE):
            return ""
    elif expected == got:
        return ""
    return f"{where}{_short(got)} instead of {_short(expected)}"


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else text[:77] + "…"
