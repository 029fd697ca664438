"""Reads the module that ``run.entry`` names, as text: whether it defines the entry, and what that takes.

Nothing is imported. What a body may hold is told only where the code says it plainly (annotated parameters, or one
class of annotated fields in the same file); of anything else nothing is known, and nothing refused.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from fairlead.bundles import reading
from fairlead.bundles.manifest import ModelManifest
from fairlead.errors import Problem

_SOURCE_MAX_BYTES = 5 * 1024**2
_PLAIN = frozenset({"str", "int", "float", "bool", "bytes", "list", "tuple", "set", "Image", "Audio", "File", "Tensor"})
"""Types of which one is no body by itself: it comes under the parameter's name."""
_INPUTS = ("fairlead.Input", "Input")
_DATACLASSES = ("dataclass", "dataclasses.dataclass")
_UNUSUAL = re.compile("ClassVar|InitVar|KW_ONLY")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Body(msgspec.Struct, frozen=True):
    """The keys that a body may hold."""

    known: tuple[str, ...]
    needed: tuple[str, ...]


class Called(msgspec.Struct, frozen=True):
    """``app.device("lamp")``, as a module says it."""

    path: str
    line: int
    method: str
    text: str


class Entry:
    """The module and the name of an entry, with the problems of finding them."""

    def __init__(self, entry: str, python: str, folder: Path, paths: set[str]) -> None:
        self.problems: list[Problem] = []
        module, _, self._attribute = entry.partition(":")
        stem = module.replace(".", "/")
        path = next((one for one in (f"{stem}.py", f"{stem}/__init__.py") if one in paths), None)
        self._path = path or ""
        self._tree: ast.Module | None = None
        if path is None:
            near = reading.closest(f"{stem}.py", (one for one in paths if one.endswith(".py")))
            hint = near or "write it, or name another"
            self.problems.append(Problem("run.entry", "missing", f"{stem}.py is not in the bundle", hint))
            return
        self._tree = self._parsed(folder / path, path, python)
        if self._tree is None:
            return
        bound = set(_bound(self._tree.body))
        if "*" not in bound and "__getattr__" not in bound and self._attribute not in bound:
            hint = reading.closest(self._attribute, bound) or f"write it there, or name what is there: {module}:NAME"
            self.problems.append(Problem("run.entry", "missing", f"{path} defines no {self._attribute}", hint))

    def _parsed(self, source: Path, path: str, python: str) -> ast.Module | None:
        if source.stat().st_size > _SOURCE_MAX_BYTES:
            self.problems.append(Problem("run.entry", "too_large", f"{path} is too large to be source code"))
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the bundle's escapes; not ours to print
                return ast.parse(source.read_bytes(), filename=path)
        except SyntaxError as error:
            if not python:  # its own Python may read what ours cannot
                self.problems.append(Problem(path, "syntax", f"{error.msg}", "correct the line", error.lineno))
        except (ValueError, RecursionError, MemoryError) as error:
            self.problems.append(Problem(path, "syntax", f"cannot be read as Python: {error}"))
        return None

    def body(self) -> Body | None:
        """Return what a body of ``predict`` may hold; None where the code does not say it plainly."""
        if self._tree is None or list(_bound(self._tree.body)).count(self._attribute) != 1:
            return None
        found = next((one for one in self._tree.body if getattr(one, "name", None) == self._attribute), None)
        function, rows = _called(found)
        if function is None:
            return None
        return _body(function, own=isinstance(found, ast.ClassDef), rows=rows, tree=self._tree)

    def calls(self, methods: Collection[str]) -> Iterator[Called]:
        """Yield each call of one of ``methods`` of the entry that begins with a plain text."""
        for node in ast.walk(self._tree) if self._tree is not None else ():
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr=method), args=[ast.Constant(value=str(text)), *_]
                ) if name == self._attribute and method in methods:
                    yield Called(self._path, node.lineno, method, text)


def faults(manifest: ModelManifest, body: Body | None) -> Iterator[Problem]:
    """Yield where an example holds what ``predict`` does not take, or lacks what it needs."""
    if body is None:
        return
    for index, example in enumerate(manifest.examples):
        at = f"examples.{index}.input"
        if not isinstance(example.input, Mapping):
            continue
        unknown = sorted(example.input.keys() - set(body.known))
        meant = set()
        for key in unknown:
            hint = reading.closest(key, body.known)
            meant.add(hint.removeprefix("did you mean ").rstrip("?"))
            what = f"predict takes {', '.join(body.known)}" if body.known else "predict takes nothing"
            yield Problem(f"{at}.{key}", "unknown_key", "unknown key", hint or what)
        for key in body.needed:
            if key not in example.input and key not in meant:
                yield Problem(f"{at}.{key}", "missing", "is missing", f"predict needs {key}")


def _called(entry: ast.stmt | None) -> tuple[Function | None, bool]:
    """Return the function that is called, where that is plain, and whether it takes rows."""
    if isinstance(entry, ast.FunctionDef | ast.AsyncFunctionDef):
        return (None if entry.decorator_list else entry), False
    if not isinstance(entry, ast.ClassDef) or entry.decorator_list or entry.keywords:
        return None, False
    if any(_name(base) not in ("fairlead.Model", "Model") for base in entry.bases):
        return None, False
    named = {getattr(one, "name", ""): one for one in entry.body}
    called = named.keys() & {"predict", "predict_batch", "preprocess"}
    function = named[next(iter(called))] if len(called) == 1 else None
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or function.decorator_list:
        return None, False
    return (None if "preprocess" in called else function), "predict_batch" in called


def _body(function: Function, *, own: bool, rows: bool, tree: ast.Module) -> Body | None:
    given = function.args
    if given.vararg or given.kwarg:
        return None
    inner = [*given.posonlyargs, *given.args]
    optional = {one.arg for one in inner[len(inner) - len(given.defaults) :]} if given.defaults else set()
    optional |= {one.arg for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value is not None}
    parameters = [*inner[1 if own else 0 :], *given.kwonlyargs]
    if len(parameters) != 1:
        return None if rows else _of_names([one.arg for one in parameters], optional)
    only = parameters[0].annotation
    if rows:
        only = only.slice if isinstance(only, ast.Subscript) and _name(only.value) in ("list", "List") else None
    if only is None:
        return None
    while isinstance(only, ast.Subscript) and _name(only.value).rpartition(".")[2] == "Annotated":
        only = only.slice.elts[0] if isinstance(only.slice, ast.Tuple) and only.slice.elts else only.value
    name = _name(only.value if isinstance(only, ast.Subscript) else only)
    is_own = any(isinstance(one, ast.ClassDef) and one.name == name for one in ast.walk(tree))
    if name.rpartition(".")[2] in _PLAIN and not is_own:
        return _of_names([parameters[0].arg], optional)
    return _fields(name, tree)


def _of_names(names: list[str], optional: set[str]) -> Body:
    return Body(tuple(names), tuple(name for name in names if name not in optional))


def _fields(name: str, tree: ast.Module) -> Body | None:
    """Return the fields of the class ``name`` of the module where it is a plain Input or dataclass."""
    found = [one for one in ast.walk(tree) if isinstance(one, ast.ClassDef) and one.name == name]
    if len(found) != 1 or found[0] not in tree.body or found[0].keywords:
        return None
    bases, decorators = [_name(one) for one in found[0].bases], [_decorator(one) for one in found[0].decorator_list]
    is_input = len(bases) == 1 and bases[0] in _INPUTS and not decorators
    if not is_input and (bases or len(decorators) != 1 or decorators[0] not in _DATACLASSES):
        return None
    fields, optional = [], set()
    for one in found[0].body:
        if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
            continue
        if isinstance(one.value, ast.Call) or _UNUSUAL.search(ast.dump(one.annotation)):
            return None  # field(…) may give it another name
        fields.append(one.target.id)
        if one.value is not None:
            optional.add(one.target.id)
    return _of_names(fields, optional) if fields else None


def _decorator(node: ast.expr) -> str:
    return _name(node.func if isinstance(node, ast.Call) else node)


def _name(node: ast.expr | None) -> str:
    """Return ``a`` or ``a.b`` as it is written; an empty text for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def _bound(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements of a module may bind."""
    for statement in body:
        for node in ast.walk(statement):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    yield name
                case ast.Name(id=name, ctx=ast.Store()):
                    yield name
                case ast.alias(name=name, asname=other):
                    yield other or name.split(".")[0]
