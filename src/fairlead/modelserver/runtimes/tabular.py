"""Estimators as they are called: rows of columns in, ``prediction`` and ``probability`` out.

What must be known for that is a value, :class:`Table`, so that a compiled program is called like the estimator that it
was made from, without scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from fairlead.modelserver.runtimes.tensors import row_type, split
from fairlead.sdk.inputs import Signature, signature_from
from fairlead.sdk.shapes import MISSING

_CLASSES_TOLD = 100
"""Of a classifier with more, only the type of its classes is told."""
Label = str | int | float | bool


class Column(msgspec.Struct, frozen=True):
    """One column of a table."""

    name: str
    choices: tuple[Label, ...] = ()
    """All that it may hold; empty: numbers."""
    gaps: bool = False
    """Whether a value may be missing."""


class Table(msgspec.Struct, frozen=True):
    """What rows an estimator takes, and which classes it tells apart."""

    columns: tuple[Column, ...] = ()
    """Of one that was fitted on a table; empty: a row is one list of numbers, ``x``."""
    count: int | None = None
    """Numbers in such a list."""
    classes: tuple[Label, ...] = ()
    """Of one that tells probabilities."""
    gaps: bool = False
    """Whether numbers of such a list may be missing."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def signature(self) -> Signature:
        """Return how it is called."""
        if not self.columns:
            return signature_from({"x": row_type("f", [self.count])}, returns=self._answers())
        fields: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        for column in self.columns:
            kind: Any = Literal[column.choices] if column.choices else float
            fields[column.name] = kind | None if column.gaps else kind
            defaults[column.name] = None if column.gaps else MISSING
        return signature_from(fields, defaults, returns=self._answers())

    def _answers(self) -> dict[str, Any] | None:
        """Return the fields of an answer, where the estimator tells: a classifier of one output does."""
        if not self.classes or not all(isinstance(one, str | int | bool) for one in self.classes):
            return None
        few = len(self.classes) <= _CLASSES_TOLD
        label: Any = Literal[self.classes] if few else type(self.classes[0])
        return {"prediction": label, "probability": dict[str, float]}

    def by_place(self, rows: Sequence[Any], named: Mapping[str, Any]) -> Sequence[Any]:
        """Return the columns of a call by name in the table's order; raises :class:`TypeError` like a call would."""
        missing = [name for name in self.names if name not in named]
        if rows or missing or not self.columns:
            raise TypeError(f"artifact takes rows, or columns named {', '.join(self.names) or 'nothing'}")
        return [named[name] for name in self.names]

    def rows_of(self, signature: Signature, batch: Sequence[Any]) -> list[Any]:
        """Return each decoded row as a sequence of its values."""
        rows = [signature.arguments(row) for row in batch]
        return rows if self.columns else [row[0] for row in rows]

    def answers(self, outputs: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
        """Return ``outputs`` of ``count`` rows row by row, probabilities by class."""
        answers = split(outputs, count)
        if "probability" in outputs:
            # keys of JSON are texts: msgspec makes them of numbers itself, of booleans it does not
            names = [str(one).lower() if isinstance(one, bool) else one for one in self.classes]
            for answer in answers:
                answer["probability"] = dict(zip(names, answer["probability"], strict=True))
        return answers


def matrix(rows: Any, dtype: Any = float) -> Any:
    """Return ``rows`` as an array of numbers; what is missing is NaN."""
    import numpy as np

    return np.asarray(rows, dtype=dtype)
