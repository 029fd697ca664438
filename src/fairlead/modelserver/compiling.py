"""Compiles a scikit-learn artifact to an ONNX program, in the bundle's environment and sandbox, and compares both.

Started as ``python -P -m fairlead.modelserver.compiling`` with an :class:`Order` as JSON in ``FAIRLEAD_COMPILE``; the
last line on stdout is a :class:`Verdict` as JSON. The exit code is 0 also where it is served as it is: that is a
verdict. skl2onnx and onnxruntime are the platform's, behind the bundle's own packages.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fairlead.errors import Error, Invalid
from fairlead.messages import ModelSpec
from fairlead.modelserver import agreement
from fairlead.modelserver.conversion import convert
from fairlead.modelserver.examples import body_of
from fairlead.modelserver.loading import settle
from fairlead.modelserver.runtimes.compiled import MODEL, PROGRAM, CompiledRuntime, Program
from fairlead.modelserver.runtimes.port import Endpoint
from fairlead.modelserver.runtimes.python import PythonRuntime
from fairlead.modelserver.runtimes.sklearn import (
    SklearnRuntime,
    decides_by_most,
    has_trees,
    last_of,
    ranges,
    takes_by_name,
)

VARIABLE = "FAIRLEAD_COMPILE"
_SAID_MAX = 300
_TIMED = 30
"""Calls of one row that are timed."""
_SINGLE = 8
"""Rows that are also asked one by one."""


class Order(msgspec.Struct, frozen=True):
    """What to compile, and where to put it."""

    folder: str
    spec: ModelSpec
    out: str
    paths: tuple[str, ...] = ()
    """Folders of the platform's packages."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether the compiled program is served, and why not; ``faster`` is on one row."""

    ok: bool
    why: str = ""
    rows: int = 0
    """Rows on which both were compared."""
    faster: float = 0


class Recorder:
    """An artifact that keeps the rows it was asked, for a model's own code around it."""

    def __init__(self, runtime: SklearnRuntime) -> None:
        self.seen: list[list[Any]] = []
        self.signature, self.warnings = runtime.signature, runtime.warnings
        self._runtime = runtime

    def load(self, folder: Path) -> None:
        """Nothing: it is loaded."""

    def infer(self, batch: Sequence[Any]) -> Sequence[Any]:
        self.seen += [list(row) for row in self._runtime.table.rows_of(self.signature, batch)]
        return self._runtime.infer(batch)

    def call(self, *rows: Any, **named: Any) -> Mapping[str, Any]:
        outputs = self._runtime.call(*rows, **named)
        table = self._runtime.table
        if named:
            given: Any = zip(*table.by_place(rows, named), strict=True)
        else:
            given = rows[0][list(table.names)].values if hasattr(rows[0], "columns") and table.columns else rows[0]
        self.seen += [[getattr(value, "item", lambda value=value: value)() for value in row] for row in given]
        return outputs

    def close(self) -> None:
        """Nothing: others use it."""


def judge(order: Order) -> Verdict:
    """Compile, compare, and leave the program in ``order.out`` if it is as good; never raises."""
    try:
        return _judged(order)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - converters and bundles raise anything; it is the verdict
        said = error.message if isinstance(error, Error) else f"{type(error).__name__}: {error}"
        return Verdict(ok=False, why=_short(said))


def _judged(order: Order) -> Verdict:
    spec, folder, out = order.spec, Path(order.folder), Path(order.out)
    settle(spec, folder)
    assert spec.artifact is not None
    runtime = SklearnRuntime(spec.artifact)
    runtime.load(folder)
    seen = _seen(spec, folder, runtime)
    asked = _taken(runtime, agreement.rows(runtime.table, seen, ranges(runtime.estimator, runtime.table)))
    if not asked:
        return Verdict(ok=False, why="the model takes none of the rows that were made up to compare; add an example")
    why = ""
    for number in _numbers(runtime.estimator):
        try:
            compiled = _compiled(runtime, number, asked[0], out)
            found = _difference(runtime, compiled, asked)
        except Exception as error:  # noqa: BLE001 - whatever a converter does not know; the other may
            found = _short(f"{type(error).__name__}: {error}")
        if not found:
            faster = _one_s(runtime.outputs, asked[0]) / _one_s(compiled.outputs, asked[0])
            if faster < 1:
                return Verdict(ok=False, why=f"compiled it is no faster ({faster:.2g} times)", rows=len(asked))
            return Verdict(ok=True, rows=len(asked), faster=round(faster, 1))
        why = why or found
    return Verdict(ok=False, why=why, rows=len(asked))


def _seen(spec: ModelSpec, folder: Path, runtime: SklearnRuntime) -> list[list[Any]]:
    """Return the rows that the artifact is asked for the examples."""
    recorder = Recorder(runtime)
    endpoint = Endpoint("predict", runtime.signature, recorder.infer, together=True)
    if spec.entry is not None:
        python = PythonRuntime(spec.entry, artifact=recorder)
        python.load(folder)
        endpoint = python.endpoints["predict"]
    for example in spec.examples:
        with contextlib.suppress(Exception):  # one that fails is told where examples must hold
            row = endpoint.signature.decode(body_of(example, endpoint.signature, folder))
            answers = endpoint.run([row])
            if inspect.isawaitable(answers):
                asyncio.run(_await(answers))
    return recorder.seen


async def _await(answers: Any) -> Any:
    return await answers


def _taken(runtime: SklearnRuntime, rows: list[list[Any]]) -> list[list[Any]]:
    """Return those of ``rows`` that the estimator takes."""
    return rows if _takes(runtime, rows) else [row for row in rows if _takes(runtime, [row])]


def _takes(runtime: SklearnRuntime, rows: list[list[Any]]) -> bool:
    try:
        runtime.outputs(rows)
    except Exception:  # noqa: BLE001 - any estimator refuses in its own way
        return False
    return True


def _compiled(runtime: SklearnRuntime, number: str, row: list[Any], out: Path) -> CompiledRuntime:
    """Return the estimator compiled with numbers of type ``number``, as it lies in ``out`` now; ``row`` is any row."""
    estimator, table = runtime.estimator, runtime.table
    last = last_of(estimator)
    if isinstance(getattr(last, "classes_", None), list):
        raise Invalid("a classifier of several outputs is not compiled", code="compile")
    wide = not (table.columns and takes_by_name(estimator))
    kinds = (number,) if wide else tuple(_kind(column.choices, number) for column in table.columns)
    names = ("x",) if wide else table.names
    inputs = [(name, kind, len(row) if wide else 1) for name, kind in zip(names, kinds, strict=True)]
    (out / MODEL).write_bytes(convert(estimator, inputs, tells_probability=bool(table.classes)))
    prediction = runtime.outputs([row])["prediction"]
    program = Program(
        table=table,
        kinds=kinds,
        wide=wide,
        labels=prediction.dtype.str,
        most=bool(table.classes) and decides_by_most(estimator),
        flat=prediction.ndim == 1,
    )
    (out / PROGRAM).write_bytes(msgspec.json.encode(program))
    compiled = CompiledRuntime(out)
    compiled.load(out)
    return compiled


def _kind(choices: Sequence[Any], number: str) -> str:
    """Return numpy's type of a column that holds ``choices``, or numbers."""
    for kind, name in ((str, "object"), (bool, "bool"), (int, "int64")):
        if choices and all(type(one) is kind for one in choices):
            return name
    return number


def _numbers(estimator: Any) -> tuple[str, str]:
    """Return which type of numbers to try first: what the estimator itself computes with. Not all converters have both,
    and rows that are made up need not show what float32 cannot hold."""
    return ("float32", "float64") if has_trees(estimator) else ("float64", "float32")


def _difference(runtime: SklearnRuntime, compiled: CompiledRuntime, rows: list[list[Any]]) -> str:
    """Return how both answer differently, together and one by one, or nothing."""
    exact = hasattr(last_of(runtime.estimator), "classes_")
    for some in (rows, *([row] for row in rows[:_SINGLE])):
        wanted = runtime.outputs(some)
        whole = exact or wanted["prediction"].dtype.kind != "f"
        words = agreement.difference(wanted, compiled.outputs(some), exact=whole)
        if words:
            return f"compiled it answers otherwise: {words}"
    return ""


def _one_s(ask: Callable[[list[list[Any]]], Any], row: list[Any]) -> float:
    """Return how long one row takes, in seconds: the least of some, which is what nothing else disturbed."""
    least = float("inf")
    for _ in range(_TIMED):
        began = time.perf_counter()
        ask([row])
        least = min(least, time.perf_counter() - began)
    return least


def _short(said: str) -> str:
    line = " ".join(said.split())
    return line if len(line) <= _SAID_MAX else f"{line[: _SAID_MAX - 1]}…"


def main() -> int:
    """Do what the environment names and print the verdict as one line."""
    with contextlib.suppress(OSError):
        os.nice(19)  # calls come first
    order = msgspec.json.decode(os.environ[VARIABLE], type=Order)
    sys.path += order.paths
    verdict = judge(order)
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(1, b"\n" + msgspec.json.encode(verdict) + b"\n")
    return 0


if __name__ == "__main__":
    leave = os._exit
    leave(main())  # nothing of the bundle may print after the last line, or keep the process alive
