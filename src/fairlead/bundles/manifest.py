"""``fairlead.toml``: read, with every problem at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec

from fairlead.bundles import reading, rules
from fairlead.bundles.shapes import (
    Access,
    AppManifest,
    AppRun,
    Batch,
    Card,
    Example,
    Manifest,
    ModelManifest,
    ModelRun,
    Network,
    Resources,
    Role,
    Route,
    Scale,
    Slo,
    Table,
)
from fairlead.errors import Invalid, Problem

__all__ = [
    "FILE",
    "Access",
    "AppManifest",
    "AppRun",
    "Batch",
    "Card",
    "Example",
    "Manifest",
    "ModelManifest",
    "ModelRun",
    "Network",
    "Resources",
    "Role",
    "Route",
    "Scale",
    "Slo",
    "Table",
    "parse",
]

FILE = "fairlead.toml"
MAX_BYTES = 256 * 1024
DEPTH = 64
"""Levels that tables and lists may be nested."""
RUNTIMES = {
    ".onnx": "onnx",
    ".joblib": "sklearn",
    ".pkl": "sklearn",
    ".pickle": "sklearn",
    ".skops": "sklearn",
    ".pt": "torch",
    ".pth": "torch",
    ".pt2": "torch",
    ".ts": "torch",
    ".safetensors": "torch",
}
"""Ending of an artifact to the runtime that loads it."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]")
_MEANT = re.compile(r"did you mean (.+)\?")
_KINDS: dict[type[Manifest], str] = {ModelManifest: "model", AppManifest: "app"}
_APPS_OWN = {"processes", "devices", "models", "params"}
"""Tables that only an app has."""
_TOML_LINE = re.compile(r"at line (\d+)")


def parse(text: str, *, source: str = FILE) -> ModelManifest | AppManifest:
    """Return the manifest in ``text``; raises :class:`Invalid` (``manifest_invalid``) with all problems.

    ``source`` is what messages call the file. Each problem has the dotted path, the rule and the line.
    """
    manifest, problems = examine(text, source=source)
    if manifest is None or problems:
        raise _refused(problems, source)
    return manifest


def examine(text: str, *, source: str = FILE) -> tuple[ModelManifest | AppManifest | None, tuple[Problem, ...]]:
    """Return what the manifest in ``text`` says and all that is wrong with it, placed and by line.

    What is wrong has its default in the manifest, so that the rest can be looked at; None where it is no TOML.
    """
    try:
        values = _toml(text, source)
    except Invalid as error:
        return None, error.problems
    problems: list[Problem] = []
    kind = _kind(values, problems)
    problems += _controls(values, "")
    _runtime(values, kind)
    manifest = reading.read({**values, "kind": _KINDS[kind]}, kind, problems)
    told = {problem.path for problem in problems} | _meant(problems)
    more = [*rules.common(manifest)]
    more += rules.model(manifest) if isinstance(manifest, ModelManifest) else rules.app(manifest)
    problems = [one for one in problems if one.rule != "missing" or one.path not in _meant(problems)]
    problems += [problem for problem in more if not reading.covered(problem, told)]
    found = reading.lines(text)
    placed = [msgspec.structs.replace(problem, line=reading.line_of(found, problem.path)) for problem in problems]
    return manifest, tuple(sorted(placed, key=lambda problem: (problem.line or 0, problem.path)))


def _toml(text: str, source: str) -> dict[str, Any]:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        problem = Problem(source, "too_large", f"is larger than {MAX_BYTES // 1024} kB")
        said, hint = f"{source} is larger than {MAX_BYTES // 1024} kB", "data belong in files of their own"
        raise Invalid(said, code="manifest_invalid", hint=hint, problems=(problem,))
    try:
        values = tomllib.loads(text)
        if _is_deep(values):
            raise RecursionError("it is nested too deeply")
        return values
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError of Python's own
        said = str(error) or "it is nested too deeply"
        line = _TOML_LINE.search(said)
        hint = 'text stands in quotes: name = "flowers"'
        problem = Problem(source, "toml", said, hint, int(line[1]) if line else None)
        raise Invalid(
            f"{source} is not TOML: {said}", code="manifest_invalid", hint=hint, problems=(problem,)
        ) from error


def _is_deep(values: dict[str, Any]) -> bool:
    """Whether ``values`` are nested more than ``DEPTH`` levels deep."""
    level: list[Any] = [values]
    for _ in range(DEPTH):
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
        level = [item for item in level if isinstance(item, dict | list)]
    return bool(level)


def _kind(values: dict[str, Any], problems: list[Problem]) -> type[ModelManifest] | type[AppManifest]:
    """Return which kind it is; where it does not say so, which it looks like, so that the rest can be read."""
    kind = values.get("kind")
    if kind == "model":
        return ModelManifest
    if kind == "app":
        return AppManifest
    near = reading.closest(str(kind), ("model", "app"))
    if kind is None:
        problems.append(Problem("kind", "missing", "is missing", 'kind = "model" or kind = "app"'))
    else:
        hint = near or "model or app"
        problems.append(Problem("kind", "choice", f"{str(kind)[:60]!r} is neither model nor app", hint))
    return AppManifest if "app" in near or (not near and _APPS_OWN & values.keys()) else ModelManifest


def _runtime(values: dict[str, Any], kind: type[Manifest]) -> None:
    """Fill in the runtime that the artifact's ending tells."""
    run = values.get("run")
    if (
        kind is ModelManifest
        and isinstance(run, dict)
        and "runtime" not in run
        and isinstance(run.get("artifact"), str)
    ):
        suffix = PurePosixPath(run["artifact"]).suffix.lower()
        if suffix in RUNTIMES:
            run["runtime"] = RUNTIMES[suffix]


def _meant(problems: Iterable[Problem]) -> set[str]:
    """Return the paths that misspelled keys were meant to be: to call those missing as well would say it twice."""
    meant = set()
    for problem in problems:
        if problem.rule == "unknown_key" and (word := _MEANT.fullmatch(problem.hint)):
            table = problem.path.rpartition(".")[0]
            meant.add(f"{table}.{word[1]}" if table else word[1])
    return meant


def _controls(value: Any, path: str) -> Iterator[Problem]:
    """Yield where texts hold control or direction characters, which would forge logs and terminals, and where whole
    numbers are longer than those of messages."""
    if isinstance(value, str):
        if _CONTROL.search(value):
            yield Problem(path, "control_character", "holds a control character", "remove it")
    elif isinstance(value, dict):
        for key, item in value.items():
            here = f"{path}.{key}" if path else key
            if _CONTROL.search(key) or "\n" in key:
                yield Problem(path or repr(key), "control_character", "a key holds a control character", "remove it")
            else:
                yield from _controls(item, here)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _controls(item, f"{path}.{index}")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield Problem(path, "range", "is a number beyond 64 bits", "write it as text, or as a number with a point")


def _refused(problems: Sequence[Problem], source: str) -> Invalid:
    first = problems[0]
    if first.rule in ("toml", "too_large") and first.path == source:
        said = f"{source} is not TOML: {first.message}" if first.rule == "toml" else f"{source} {first.message}"
        return Invalid(said, code="manifest_invalid", hint=first.hint, problems=tuple(problems))
    rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    where = f"{source}:{first.line}" if first.line else source
    message = reading.bounded(f"{where} {first.path}: {first.message}") + rest
    return Invalid(message, code="manifest_invalid", hint=first.hint, problems=tuple(problems))
