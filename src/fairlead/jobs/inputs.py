"""What is asked of a job, held against its version's signature before it is kept.

Only what a replica would surely refuse is refused here: bodies that are no JSON, large ones, and endpoints whose schema
says less than their types take (``exact``) are accepted, and the replica says what it thinks of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from fairlead.errors import Invalid, Problem

CHECKED_BYTES = 8 * 1024
"""Longer bodies are not looked at: it would take control's time from everybody."""
_PROBLEMS_MAX = 10
_RULES = {"required": "missing", "additionalProperties": "unknown_key", "minimum": "ge", "maximum": "le"}


def check(signature: Mapping[str, Any] | None, endpoint: str, body: bytes, model: str) -> None:
    """Raise :class:`Invalid` (``invalid_input``) when ``body`` does not fit the ``endpoint`` of ``model``."""
    known = ((signature or {}).get("endpoints") or {}).get(endpoint) or {}
    if not known.get("exact") or len(body) > CHECKED_BYTES or body[:1] not in (b"{", b"["):
        return
    try:
        value = msgspec.json.decode(body)
        problems = _problems(_validator(msgspec.json.encode(known["input"])), value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if problems:
        first = problems[0]
        said = f"{first.path}: {first.message}" if first.path else first.message
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Invalid(said + more, hint=f"see /v1/models/{model}/docs", problems=problems)


def _problems(validator: Draft202012Validator, value: Any) -> tuple[Problem, ...]:
    rows = [(f"[{index}]", row) for index, row in enumerate(value)] if isinstance(value, list) else [("", value)]
    found = (_problem(path, error) for path, row in rows for error in validator.iter_errors(row))
    return tuple(problem for problem, _ in zip(found, range(_PROBLEMS_MAX), strict=False))


def _problem(path: str, error: ValidationError) -> Problem:
    for part in error.absolute_path:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    rule = str(error.validator)
    message = error.message[:200]
    if rule == "required":
        missing = error.message.partition(" is a required property")[0].strip("'")  # one error for each
        path, message = f"{path}.{missing}" if path else missing, "is missing"
    if rule == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        odd = next((name for name in error.instance if name not in known), "")
        path, message = f"{path}.{odd}" if path else odd, "is not a field"
    return Problem(path, _RULES.get(rule, rule), message)


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Draft202012Validator:
    return Draft202012Validator(msgspec.json.decode(schema))
