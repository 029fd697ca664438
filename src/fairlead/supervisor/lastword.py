"""The last word of a program of ours that cannot run: the last line of its log, for whoever started it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from fairlead.errors import Error, Kind

EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h: starting it again changes nothing."""
_LASTING = (Kind.INVALID, Kind.CONFLICT, Kind.FORBIDDEN, Kind.NOT_FOUND)


class _Word(msgspec.Struct):
    said: str
    code: str
    kind: Kind
    hint: str = ""


def speak(log: logging.Logger, error: Error) -> int:
    """Write ``error`` to the log and return the exit code that goes with it."""
    log.error("%s", error.message, extra={"code": error.code, "kind": error.kind.value, "hint": error.hint})
    return EXIT_CONFIG if error.kind in _LASTING else 1


def heard(lines: Sequence[str]) -> Error | None:
    """Return the error that the last of a log's ``lines`` tells of; None when it tells of none. Pure."""
    try:
        word = msgspec.json.decode(lines[-1] if lines else "", type=_Word)
    except msgspec.DecodeError:
        return None
    classes: dict[Kind, type[Error]] = {each.kind: each for each in Error.__subclasses__()}
    return classes[word.kind](word.said, code=word.code, hint=word.hint)
