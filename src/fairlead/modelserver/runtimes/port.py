"""What a runtime is, and what a loaded model offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from fairlead.sdk.inputs import Signature

if TYPE_CHECKING:
    import numpy as np


class Runtime(Protocol):
    """Serves one artifact or one piece of code. ``load`` first; one thread at a time unless said otherwise."""

    signature: Signature
    """What a row looks like; known after :meth:`load`."""
    warnings: Sequence[str]
    """What the owner of the model should know; known after :meth:`load`."""

    def load(self, folder: Path) -> None:
        """Get ready to serve what lies in ``folder``; raises any :class:`Exception` with what is wrong."""

    def infer(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Return an answer for each row of ``batch``, in order; rows are as ``signature`` decodes them."""

    def close(self) -> None:
        """Give back what :meth:`load` took; twice is once."""


class ArtifactRuntime(Runtime, Protocol):
    """A runtime whose artifact code may call with whole arrays. One of weights alone has ``weights`` to give too."""

    def call(self, *rows: Any, **named: Any) -> Mapping[str, np.ndarray[Any, Any]]:
        """Return the outputs for a batch of rows, or of named columns, batch axis first."""


class Endpoint(msgspec.Struct, frozen=True):
    """One thing that a model can be asked."""

    name: str
    signature: Signature
    run: Callable[[Sequence[Any]], Any]
    """Rows in, answers out; a coroutine function where ``is_async``."""
    together: bool = False
    """Takes a whole batch at once."""
    is_async: bool = False
    native: bool = False
    """Runs nothing of the bundle's code: its cost depends on the rows alone."""
    streams: bool = False
    """Answers in pieces: a list of them for callers who want one answer."""
    summary: str = ""
