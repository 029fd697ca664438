"""What goes over a run's channel (HTTP on the Unix socket ``FAIRLEAD_SOCKET``), as JSON; keeper and SDK share it.

Routes: docs/guide/apps.md. Lists are ``{"items": [], "next": null}``; errors are ``{"error": {…}}`` as everywhere.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from fairlead.errors import Busy, Conflict, Error, Forbidden, Internal, Invalid, Kind, NotFound, Unavailable

MEDIA_MAX_BYTES = 16 * 1024**2
"""Largest attachment, file or picture in one request on the channel."""
STATE_MAX_BYTES = 256_000
"""Largest value of a run's state, as JSON."""
ERRORS: dict[Kind, type[Error]] = {
    kind.kind: kind for kind in (Invalid, NotFound, Conflict, Forbidden, Busy, Unavailable, Internal)
}
STATUS_OF: dict[Kind, int] = {
    Kind.INVALID: 422,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.FORBIDDEN: 403,
    Kind.BUSY: 429,
    Kind.UNAVAILABLE: 503,
    Kind.INTERNAL: 500,
}
"""What the channel answers; the front door's table is ``api.errors``."""
_OTHER_STATUS = {
    400: Invalid,
    401: Forbidden,
    410: NotFound,
    412: Conflict,
    413: Invalid,
    415: Invalid,
    502: Unavailable,
    504: Unavailable,
}


def error_of_status(status: int) -> type[Error]:
    """Return the class of error that an HTTP status stands for, a model's own among them."""
    known = {code: ERRORS[kind] for kind, code in STATUS_OF.items()}
    return known.get(status) or _OTHER_STATUS.get(status, Internal)


class Binding(msgspec.Struct, frozen=True, omit_defaults=True):
    """The devices that stand for one role."""

    devices: tuple[str, ...]
    type: str
    single: bool
    properties: dict[str, dict[str, Any]] = {}
    """The type's properties: JSON Schema."""
    events: dict[str, dict[str, Any]] = {}
    """The type's events: JSON Schema."""

    def has(self, name: str) -> bool:
        """Whether devices of the type tell of ``name``; of a type that is not known, they may."""
        known = self.properties or self.events
        return not known or name in self.properties or name in self.events

    @property
    def names(self) -> str:
        """What devices of the type tell of."""
        return ", ".join(sorted({*self.properties, *self.events})) or "none"


class Bound(msgspec.Struct, frozen=True):
    """``event: bindings``, the first of each stream, which begins anew when they change."""

    bindings: dict[str, Binding]


class Welcome(msgspec.Struct, frozen=True):
    """``GET /``: what this run is, and what it may use."""

    run: str
    app: str
    version: str
    schedule: str
    place: str
    zone: str
    starts: str
    ends: str | None
    user: str
    params: dict[str, Any]
    bindings: dict[str, Binding]
    models: dict[str, str]
    """Role to ``model@ref``."""


class Measure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reading: one ``data:`` line of ``GET /events``, one item of ``GET /devices/{role}``."""

    device: str
    property: str
    at: str
    value: Any = None
    media: bytes = b""
    """Base64 in JSON; the value of a picture or sound."""
    content_type: str = ""
    stale: bool = False
    """Older than the type's ``fresh_s``."""
    again: bool = False
    """A last value, sent because the connection is new."""


def is_late(at: datetime, newest: datetime, now: datetime) -> bool:
    """Whether a reading was measured before the newest that came already: it is history.

    What is newest as of a time that is yet to come was measured by a clock that was set back since, and holds up none.
    """
    return at < newest <= now


class Measures(msgspec.Struct, frozen=True):
    items: tuple[Measure, ...]
    next: None = None


class Dropped(msgspec.Struct, frozen=True):
    """``event: dropped``: so many readings were left out because the reader was too slow."""

    count: int


class SendBody(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Body of ``POST /devices/{role}``: to all devices of the role, or to ``device``."""

    set: dict[str, Any]
    device: str | None = None
    hold_s: float | None = None
    """None: until the window ends."""
    timeout_s: float = 5
    because: tuple[str, ...] = ()


class CommandState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a command; control may add to it."""

    id: str
    status: str
    reason: str | None = None
    device: str = ""


class CommandStates(msgspec.Struct, frozen=True):
    items: tuple[CommandState, ...]
    next: None = None


class Attached(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A file that goes with a mail."""

    name: str
    content: bytes
    """Base64 in JSON."""
    content_type: str = "application/octet-stream"


class MailBody(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Body of ``POST /mail``; without ``to`` it goes to the schedule's ``--notify``."""

    subject: str
    text: str
    to: tuple[str, ...] = ()
    attach: tuple[Attached, ...] = ()


class Names(msgspec.Struct, frozen=True):
    items: tuple[str, ...]
    next: None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """The inside of ``{"error": …}``."""

    code: str
    message: str
    hint: str = ""
    id: str = ""
    problems: tuple[Any, ...] = ()


class Refusal(msgspec.Struct, frozen=True):
    error: ErrorBody


class Stored(msgspec.Struct, frozen=True):
    """A key of a run's state as control keeps it."""

    value: Any
    version: int = 0


class ReadyBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """Body of ``POST /ready``, the heartbeat of the SDK; may be empty."""

    handled: int = 0
    replaced: int = 0
    dropped: int = 0
    failed: int = 0
    trouble: str = ""
    """What the last calls of a handler raised, one after the other; empty once it goes well again."""
