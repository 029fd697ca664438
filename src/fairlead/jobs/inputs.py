"""What is asked of a job, held against its version's signature before it is kept.

Only what a replica would surely refuse is refused here: files, large bodies, and endpoints whose schema
says less than their types take (``exact``) are accepted, and the replica says what it thinks of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from fairlead.sdk.checking import Check
from fairlead.sdk.inputs import no_json, raise_problems
from fairlead.sdk.schemas import shape_from
from fairlead.sdk.shapes import Shape

CHECKED_BYTES = 8 * 1024
"""Longer bodies are not looked at: it would take control's time from everybody."""


def check(signature: Mapping[str, Any] | None, endpoint: str, body: bytes) -> None:
    """Raise :class:`Invalid` (``invalid_input``) when ``body`` does not fit the ``endpoint``, as a replica words it."""
    Inputs(signature).check(endpoint, body)


class Inputs:
    """What the endpoints of one version take; shapes are made when they are first needed, and kept."""

    def __init__(self, signature: Mapping[str, Any] | None) -> None:
        self._endpoints: Mapping[str, Any] = (signature or {}).get("endpoints") or {}
        self._shapes: dict[str, Shape] = {}

    def files(self, endpoint: str) -> Sequence[str]:
        """Return the names of the parameters that are files."""
        found: Sequence[str] = (self._endpoints.get(endpoint) or {}).get("files", ())
        return found

    def check(self, endpoint: str, body: bytes) -> None:
        """Raise :class:`Invalid` (``invalid_input``, ``invalid_json``), in a replica's words, for a wrong ``body``."""
        known = self._endpoints.get(endpoint) or {}
        if not known.get("exact") or len(body) > CHECKED_BYTES or body[:1] not in (b"{", b"["):
            return
        try:
            value = msgspec.json.decode(body)
        except RecursionError:
            return
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if known.get("files"):
                return  # it may be one, as it is
            raise no_json(error, body, known["input"]) from error
        into = Check()
        try:
            shape = self._shapes.get(endpoint)
            if shape is None:
                shape = self._shapes[endpoint] = _shape(msgspec.json.encode(known["input"]))
            if isinstance(value, list):
                into.each(shape.check, value)
            else:
                shape.check(value, "", into)
        except RecursionError:
            return
        raise_problems(into.problems, into.count)


@lru_cache(maxsize=256)
def _shape(schema: bytes) -> Shape:
    return shape_from(msgspec.json.decode(schema))
