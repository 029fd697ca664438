"""What can go wrong, as one tree.

::

    Error                     has code, message, hint, kind
    ├── Invalid               the caller's mistake; carries problems, all at once
    ├── NotFound              no such thing, or none that the caller may see
    ├── Conflict              it clashes with what is there
    ├── Forbidden             signed in (or not), but not allowed
    ├── Busy                  try again: queue full, limit met; retry_after_s
    ├── Unavailable           something that is needed is not there now; retry_after_s
    └── Internal              our own failure

The kinds are closed. ``api.errors`` holds the only table from kind to HTTP status and ``cli.main`` the only one to
exit codes; nothing else knows either.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum

import msgspec

_PATH = re.compile(
    r"(?:file:/{2,3}|(?<![\w:/.…])/)(?!(?:v1|v2|api)/)(?:[^\s/'\":,;()<>\[\]{}]+/)+([^\s/'\":,;()<>\[\]{}]*)"
)


SPREAD_MAX_S = 30


def retry_after(estimate_s: float, chance: float) -> int:
    """Return the ``Retry-After`` of a refusal in whole seconds: never less than ``estimate_s``, up to a quarter more.

    ``chance`` in [0, 1) tells those apart who are refused together, so that they do not come back together; it adds one
    second at least and ``SPREAD_MAX_S`` at most.
    """
    whole = max(1, math.ceil(estimate_s))
    return whole + int(chance * (1 + min(SPREAD_MAX_S, math.ceil(whole / 4))))


def without_folders(text: str) -> str:
    """Return ``text`` with ``…`` in place of the folders of files, and of sockets altogether. Paths of the API stay.

    Callers learn what failed, not where things lie here.
    """
    return _PATH.sub(lambda found: "…" if found[1].endswith(".sock") else f"…/{found[1]}", text)


class Kind(StrEnum):
    """The seven kinds of error; closed."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with an input: where, which rule, and what to do."""

    path: str
    """Dotted path of the field, or the name of the file or entry."""
    rule: str
    """Stable name of the rule that was broken, e.g. ``le`` or ``unknown_key``."""
    message: str
    hint: str = ""
    line: int | None = None
    """Line of the file that ``path`` stands in, counted from 1."""


class Error(Exception):
    """An error that a person will read: what, why and what next."""

    kind: Kind = Kind.INTERNAL
    default_code = "internal"
    status: int | None = None
    """HTTP status of the answer that told of it; only on errors that a client raises."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str = "",
        problems: tuple[Problem, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.problems = problems
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        """Return the message; what a client raises is read where nobody prints the rest, so it says all of it."""
        if self.status is None:
            return self.message
        others = [f"{one.path}: {one.message}" for one in self.problems if one.message not in self.message]
        return "; ".join((self.message, *others)) + (f" (hint: {self.hint})" if self.hint else "")


class Invalid(Error):
    """The input is wrong; ``problems`` names every fault found."""

    kind = Kind.INVALID
    default_code = "invalid_input"


class NotFound(Error):
    """There is no such thing, or the caller may not know of it."""

    kind = Kind.NOT_FOUND
    default_code = "not_found"


class Conflict(Error):
    """It clashes with what is there."""

    kind = Kind.CONFLICT
    default_code = "conflict"


class Forbidden(Error):
    """The caller may not do this."""

    kind = Kind.FORBIDDEN
    default_code = "forbidden"


class Busy(Error):
    """A bound is met; trying again later may work."""

    kind = Kind.BUSY
    default_code = "busy"


class Unavailable(Error):
    """Something that this needs is not there at the moment."""

    kind = Kind.UNAVAILABLE
    default_code = "unavailable"


class Internal(Error):
    """Our own failure."""

    kind = Kind.INTERNAL
    default_code = "internal"
