"""A runtime that doubles its input: for tests of what stands above runtimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.errors import Internal
from fairlead.sdk.inputs import Signature, signature_from
from fairlead.sdk.model import InvalidInput


class DoublingRuntime:
    """Answers ``{"x": 3}`` with ``{"y": 6}``; refuses negative rows; ``batches`` keeps the sizes of batches."""

    signature: Signature

    def __init__(self) -> None:
        self.warnings: Sequence[str] = ()
        self.batches: list[int] = []
        self._loaded = False

    def load(self, folder: Path) -> None:
        self.signature = signature_from({"x": float})
        self._loaded = True

    def infer(self, batch: Sequence[Any]) -> Sequence[Any]:
        if not self._loaded:
            raise Internal("not loaded")
        self.batches.append(len(batch))
        values = [self.signature.arguments(row)[0] for row in batch]
        return [{"y": 2 * value} if value >= 0 else InvalidInput("is negative", "x") for value in values]

    def call(self, *rows: Any, **named: Any) -> Mapping[str, Any]:
        (value,) = (*rows, *named.values())
        return {"y": value * 2}

    def close(self) -> None:
        self._loaded = False
