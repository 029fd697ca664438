"""A scikit-learn estimator that was compiled to an ONNX program: called the same, answers the same, much sooner.

A folder holds the program and, as JSON, what must be known beside it (:class:`Program`): scikit-learn is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fairlead.modelserver.runtimes.onnx import session_of
from fairlead.modelserver.runtimes.tabular import Table, matrix
from fairlead.sdk.inputs import Signature

MODEL = "model.onnx"
PROGRAM = "program.json"
_TIE = 1e-6
"""Half of the trees for each class is 0.49999994 to 0.50000006 here: as for the estimator, the first has it."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a compiled program beside its bytes."""

    table: Table
    kinds: tuple[str, ...]
    """Type of each input as numpy calls it: one for each column, or one for rows of numbers."""
    wide: bool
    """Its one input takes all columns."""
    labels: str = ""
    """numpy's type of its predictions."""
    most: bool = False
    """Its prediction is the class of the highest probability."""
    flat: bool = True
    """A prediction is one value, not several."""


class CompiledRuntime:
    """Serves what the folder of a compiled program holds; made for one artifact of one bundle."""

    signature: Signature

    def __init__(self, folder: Path) -> None:
        self.warnings: Sequence[str] = ()
        self._folder = folder
        self._session: Any = None

    def load(self, folder: Path) -> None:
        import numpy as np

        program = msgspec.json.decode((self._folder / PROGRAM).read_bytes(), type=Program)
        self._session = session_of(self._folder / MODEL)
        self._program, self.table = program, program.table
        self._inputs = [node.name for node in self._session.get_inputs()]
        self._outputs = [node.name for node in self._session.get_outputs()][: 2 if program.table.classes else 1]
        if program.most:
            del self._outputs[0]  # the label is known from the probabilities
        self._classes = np.asarray(program.table.classes, dtype=program.labels) if program.table.classes else None
        self.signature = program.table.signature()

    def infer(self, batch: Sequence[Any]) -> Sequence[Any]:
        return self.table.answers(self.outputs(self.table.rows_of(self.signature, batch)), len(batch))

    def outputs(self, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Return prediction, and probability by class, of rows in the order of the table's columns."""
        if self._program.wide:
            return self._run([rows])
        return self._run(list(zip(*rows, strict=True)))

    def call(self, *rows: Any, **named: Any) -> Mapping[str, Any]:
        if named:
            return self._columns(self.table.by_place(rows, named))
        (given,) = rows
        if hasattr(given, "columns") and self.table.columns:
            return self._columns([given[name] for name in self.table.names])
        if self._program.wide:
            return self._run([given])
        return self._run(list(zip(*given, strict=True)))

    def close(self) -> None:
        self._session = None

    def _columns(self, columns: Sequence[Any]) -> dict[str, Any]:
        return self._run([list(zip(*columns, strict=True))] if self._program.wide else columns)

    def _run(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return the outputs for one value an input: rows of all columns, or the column."""
        program = self._program
        feed = {}
        for name, kind, value in zip(self._inputs, program.kinds, values, strict=True):
            array = matrix(value, kind)
            feed[name] = array if program.wide else array.reshape(-1, 1)
        found = self._session.run(self._outputs, feed)
        if not self.table.classes:
            prediction = found[0].astype(program.labels, copy=False)
            return {"prediction": prediction.reshape(len(prediction)) if program.flat else prediction}
        probability = found[-1].astype("float64")
        assert self._classes is not None
        if not program.most:
            return {"prediction": found[0].astype(program.labels), "probability": probability}
        tied = probability >= probability.max(axis=1, keepdims=True) - _TIE
        return {"prediction": self._classes[tied.argmax(axis=1)], "probability": probability}
