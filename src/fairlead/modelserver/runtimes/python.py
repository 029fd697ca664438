"""Code as a model: a class with ``predict`` or ``predict_batch``, or one function, with or without artifact."""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fairlead.errors import Invalid
from fairlead.modelserver.runtimes.port import ArtifactRuntime, Endpoint
from fairlead.modelserver.streams import list_signature, run_of
from fairlead.sdk.inputs import Signature, signature_of
from fairlead.sdk.model import InvalidInput, Model
from fairlead.sdk.shapes import MISSING

_OWN = frozenset(dir(Model)) | {"preprocess", "postprocess"}


class PythonRuntime:
    """Runs ``entry`` (``module:attribute``); around ``artifact`` where there is one, which must be loaded before."""

    signature: Signature

    def __init__(self, entry: str, *, device: str = "cpu", artifact: ArtifactRuntime | None = None) -> None:
        self.warnings: Sequence[str] = ()
        self.endpoints: dict[str, Endpoint] = {}
        self._entry = entry
        self._device = device
        self._artifact = artifact
        self._model: Any = None

    def load(self, folder: Path) -> None:
        target = import_entry(self._entry, folder)
        if inspect.isclass(target):
            self._model = self._made(target, folder)
            if callable(getattr(self._model, "load", None)):
                self._model.load()
            self.endpoints = class_endpoints(self._model, self._artifact)
        else:
            self.endpoints = {"predict": endpoint_of("predict", target)}
        if "predict" not in self.endpoints:
            raise Invalid(
                f"{self._entry}: has neither predict nor predict_batch",
                code="entry_invalid",
                hint="define predict(self, …) with annotated parameters",
            )
        self.signature = self.endpoints["predict"].signature

    def _made(self, kind: type, folder: Path) -> Any:
        if not issubclass(kind, Model):
            return kind()
        model = kind.__new__(kind)
        model.folder = folder  # before __init__, which may look at them
        model.device = self._device
        if self._artifact is not None:
            model._artifact = self._artifact.call
            model._weights = getattr(self._artifact, "weights", None)
        model.__init__()  # type: ignore[misc]
        return model

    def infer(self, batch: Sequence[Any]) -> Sequence[Any]:
        answers: Sequence[Any] = self.endpoints["predict"].run(batch)
        return answers

    def close(self) -> None:
        model, self._model = self._model, None
        if callable(getattr(model, "close", None)):
            model.close()
        if self._artifact is not None:
            self._artifact.close()


def import_entry(entry: str, folder: Path) -> Any:
    """Return what ``module:attribute`` names in the bundle at ``folder``; raises :class:`Invalid` or what it raises."""
    module, _, attribute = entry.partition(":")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    loaded = importlib.import_module(module)
    if not attribute or not hasattr(loaded, attribute):
        names = [name for name, value in vars(loaded).items() if getattr(value, "__module__", None) == module]
        raise Invalid(
            f"{entry}: {module} has no {attribute or 'attribute after a colon'}",
            code="entry_invalid",
            hint=f"it defines: {', '.join(names) or 'nothing'}",
        )
    return getattr(loaded, attribute)


def class_endpoints(model: Any, artifact: ArtifactRuntime | None) -> dict[str, Endpoint]:
    """Return an endpoint for ``predict`` and for each other public method that annotates its parameters."""
    found: dict[str, Endpoint] = {}
    if callable(getattr(model, "predict_batch", None)):
        found["predict"] = endpoint_of("predict", model.predict_batch, rows=True)
    elif callable(getattr(model, "predict", None)):
        found["predict"] = endpoint_of("predict", model.predict)
    elif artifact is not None:
        found["predict"] = _around(model, artifact)
    for name, member in inspect.getmembers(type(model), inspect.isfunction):
        if name.startswith("_") or name in _OWN or name in ("predict", "predict_batch"):
            continue
        given = [one for one in inspect.signature(member).parameters if one != "self"]
        if all(one in member.__annotations__ for one in given) and "return" in member.__annotations__:
            found[name] = endpoint_of(name, getattr(model, name))
    return found


def _around(model: Any, artifact: ArtifactRuntime) -> Endpoint:
    """Return ``predict`` of an artifact with ``preprocess`` and ``postprocess``, each for one row, where defined."""
    before, after = getattr(model, "preprocess", None), getattr(model, "postprocess", None)
    parameters = (signature_of(before) if before else artifact.signature).parameters
    signature = Signature(parameters, _returns(after) if after else artifact.signature.returns)
    take = signature.arguments

    def run(rows: Sequence[Any]) -> Sequence[Any]:
        if before is not None:
            made = [artifact.signature.check(_as_body(before(*take(row)), artifact.signature)) for row in rows]
            rows = made
        answers = artifact.infer(rows)
        return [after(answer) for answer in answers] if after else answers

    return Endpoint(name="predict", signature=signature, run=run, together=True)


def _returns(function: Callable[..., Any]) -> Any:
    try:
        return typing.get_type_hints(function, include_extras=True).get("return", MISSING)
    except (NameError, TypeError):  # it is only told, so it need not be readable
        return MISSING


def _as_body(value: Any, signature: Signature) -> Any:
    """Return what ``preprocess`` gave as a body of the artifact: a mapping as it is, anything else as its one input."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: item.tolist() if hasattr(item, "tolist") else item for key, item in value.items()}
    return {signature.parameters[0].name: value}


def endpoint_of(name: str, function: Callable[..., Any], *, rows: bool = False) -> Endpoint:
    """Return ``function`` as an endpoint; with ``rows`` it takes and gives lists, else one row's arguments."""
    signature = signature_of(function, rows=rows)
    summary = (inspect.getdoc(function) or "").partition("\n")[0]
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    if not rows and (inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)):
        run = run_of(function, signature.arguments, is_async=is_async)
        return Endpoint(name, list_signature(signature), run, is_async=is_async, streams=True, summary=summary)
    take = signature.arguments
    if rows:
        together = function if signature.single else _of_values(function, take, is_async=is_async)
        return Endpoint(name, signature, together, together=True, is_async=is_async, summary=summary)

    async def arun_each(batch: Sequence[Any]) -> list[Any]:
        answers: list[Any] = []
        for row in batch:
            try:
                answers.append(await function(*take(row)))
            except InvalidInput as error:
                answers.append(error)
        return answers

    def run_each(batch: Sequence[Any]) -> list[Any]:
        answers: list[Any] = []
        for row in batch:
            try:
                answers.append(function(*take(row)))
            except InvalidInput as error:
                answers.append(error)
        return answers

    return Endpoint(name, signature, arun_each if is_async else run_each, is_async=is_async, summary=summary)


def _of_values(function: Callable[..., Any], take: Callable[[Any], tuple[Any, ...]], *, is_async: bool) -> Any:
    """Return ``function``, which takes a list of plain values (files, numbers, texts), as one that takes rows."""

    def run(rows: Sequence[Any]) -> Any:
        return function([value for row in rows for value in take(row)])

    async def arun(rows: Sequence[Any]) -> Any:
        return await function([value for row in rows for value in take(row)])

    return arun if is_async else run
