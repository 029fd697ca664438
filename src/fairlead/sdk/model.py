"""What the code of a model is written against."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fairlead.sdk.files import Image
from fairlead.sdk.invalid import InvalidInput as InvalidInput

if TYPE_CHECKING:
    import numpy as np

Field = msgspec.Meta
"""Limits and words of a field: ``ge, le, min_length, pattern, title, description, examples``."""


class Input(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of typed inputs: keyword-only, unknown keys are refused."""


class Canceled(BaseException):
    """The call is wanted no more. Not an :class:`Exception`, so that no ``except Exception`` swallows it."""


class Request(msgspec.Struct, frozen=True):
    """Who asked, and until when an answer is of use."""

    id: str
    user: str = ""
    deadline: datetime | None = None
    trace: str = ""
    """W3C ``traceparent`` of the caller, to be sent on with what a model itself asks for."""


class Scope:
    """One call as the code under it may see it: the model server makes one for each and keeps it."""

    __slots__ = ("canceled", "on_progress", "request")

    def __init__(
        self, request: Request, on_progress: Callable[[int, int | None, Image | None, str], None] | None = None
    ) -> None:
        self.request = request
        self.on_progress = on_progress
        self.canceled = False


scopes: ContextVar[tuple[Any, ...]] = ContextVar("fairlead_scopes", default=())
"""The calls that the running code works on: several where it was given a batch. Objects shaped like :class:`Scope`."""


def request() -> Request:
    """Return the request that is being answered; the first of a batch."""
    current = scopes.get()
    return current[0].request if current else Request(id="")


def progress(step: int, total: int | None = None, *, preview: Image | None = None, note: str = "") -> None:
    """Tell how far the call has come, in whole steps; raises :class:`Canceled` when nobody waits for it any more.

    Raises :class:`TypeError` for a step that is no whole number: its keeper could not read it.
    """
    try:
        step, total = operator.index(step), None if total is None else operator.index(total)
    except TypeError:
        said = f"progress({step!r}, {total!r}): steps are whole numbers, as in progress(50, 100) for a half"
        raise TypeError(said) from None
    note = str(note).encode("utf-8", "backslashreplace").decode()
    current = scopes.get()
    for scope in current:
        if scope.on_progress is not None:
            scope.on_progress(step, total, preview, note)
    if current and all(scope.canceled for scope in current):
        raise Canceled


class Model:
    """Base of models with code. Define ``predict`` or ``predict_batch`` (or both), plain or async.

    ``folder`` is the bundle, ``device`` is ``cpu`` or ``cuda:N``. With an artifact in the manifest, ``artifact``
    calls it: rows or named arrays in, with the batch axis first, and a mapping of named arrays out. Where the artifact
    is a state of PyTorch, ``weights`` are its tensors by name: ``module.load_state_dict(self.weights)``.
    """

    folder: Path = Path()
    device: str = "cpu"
    _artifact: Callable[..., Mapping[str, np.ndarray[Any, Any]]] | None = None
    _weights: Mapping[str, Any] | None = None

    @property
    def weights(self) -> Mapping[str, Any]:
        """The tensors of a state by name; raises :class:`RuntimeError` when the artifact is none."""
        if self._weights is None:
            raise RuntimeError("this model's artifact holds no weights: name a state as [run] artifact")
        return self._weights

    def artifact(self, *rows: Any, **named: Any) -> Mapping[str, np.ndarray[Any, Any]]:
        """Return the artifact's outputs for a batch; raises :class:`RuntimeError` when the manifest names none."""
        if self._artifact is None:
            raise RuntimeError("this model has no artifact: name one as [run] artifact in fairlead.toml")
        return self._artifact(*rows, **named)

    def load(self) -> None:
        """Get ready; called once, after the artifact was loaded."""

    def close(self) -> None:
        """Give back what :meth:`load` took."""


class TensorType:
    """What ``Tensor(…)`` makes subclasses of; never instantiated."""

    dtype = "float32"
    shape: tuple[int | None, ...] = ()


_tensors: dict[tuple[Any, ...], Any] = {}


def Tensor(dtype: Any = "float32", *shape: int | None) -> Any:
    """Return the type of an array of ``dtype`` and ``shape``; None stands for any length, no shape for any shape.

    Use it as ``Annotated[np.ndarray, Tensor("float32", 37)]``, or alone. JSON gives it as nested lists.
    """
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
    key = (name, *shape)
    if key not in _tensors:
        label = f"Tensor[{', '.join('*' if part is None else str(part) for part in key)}]"
        _tensors[key] = type(label, (TensorType,), {"dtype": name, "shape": shape})
    return _tensors[key]
