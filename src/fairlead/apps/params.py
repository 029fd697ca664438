"""Parameters of an app, held against its manifest: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from fairlead.bundles.reading import closest
from fairlead.devices import types
from fairlead.errors import Problem
from fairlead.supervisor import bounds

MAX_BYTES = 64 * 1024
"""Longest parameters of a schedule, as JSON: every run takes them along."""


def fill(schemas: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter: what was given, else its default."""
    defaults = {name: schema["default"] for name, schema in schemas.items() if "default" in schema}
    return {**defaults, **given}


def check(schemas: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return everything that is wrong with ``given``: unknown names, missing ones, values that do not fit."""
    if wrong := bounds.json_problem(dict(given), MAX_BYTES):
        hint = "what is large belongs into a file of the bundle or of the schedule"
        return (Problem("params", "too_large", f"all together {wrong}", hint),)
    return tuple(_problems(schemas, given))


def _expects(schema: Mapping[str, Any]) -> str:
    """Return in words what a value of a parameter is: ``number from 10 to 40 (Comfortable up to (°C))``."""
    title = str(schema.get("title", ""))
    if not isinstance(schema.get("type"), str):
        return title
    words = types.expects(types.Property(dict(schema)))
    return f"{words}: {title}" if title else words


def _problems(schemas: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> Iterable[Problem]:
    for name in given:
        if name not in schemas:
            hint = closest(name, schemas) or f"parameters: {', '.join(schemas) or 'none'}"
            yield Problem(f"params.{name}", "unknown_param", "the app has no such parameter", hint)
    for name, schema in schemas.items():
        if name in given:
            for error in Draft202012Validator(dict(schema)).iter_errors(given[name]):
                yield Problem(f"params.{name}", str(error.validator), error.message[:200], _expects(schema))
        elif "default" not in schema:
            yield Problem(f"params.{name}", "required", "must be set", f"--set {name}=…")
