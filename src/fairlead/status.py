"""Every life in Fairlead: its statuses and the moves that are legal.

The database's check constraints and the page's unions come from these enums. Records change status only through
``store.move.move_to``, which asks :func:`can_move` and keeps the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from fairlead.errors import Conflict


class VersionStatus(StrEnum):
    """A version of a model or app."""

    BUILDING = "building"
    """Its environment is built and it is looked into."""
    STARTING = "starting"
    """A first replica loads, warms up and holds its examples."""
    READY = "ready"
    SLEEPING = "sleeping"
    """No process; wakes on call."""
    RETIRED = "retired"
    FAILED = "failed"


class ReplicaStatus(StrEnum):
    """One process that serves a version."""

    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    """Its queue is full: alive, asked for nothing more."""
    DRAINING = "draining"
    GONE = "gone"
    CRASHED = "crashed"
    CRASH_LOOP = "crash_loop"


class RunStatus(StrEnum):
    """One run of an app in one window."""

    PLANNED = "planned"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"


class JobStatus(StrEnum):
    """A durable call of a model."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class CommandStatus(StrEnum):
    """What became of a command to a device."""

    ACCEPTED = "accepted"
    """Its row is written; it waits while a higher tier holds."""
    SENT = "sent"
    DELIVERED = "delivered"
    APPLIED = "applied"
    OBSERVED = "observed"
    FAILED = "failed"


class DeviceStatus(StrEnum):
    """What the platform knows of a device."""

    PROVISIONED = "provisioned"
    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    RETIRED = "retired"


class MailStatus(StrEnum):
    """What became of a letter in the outbox."""

    WAITING = "waiting"
    SENT = "sent"
    KEPT = "kept"
    """There is no mail server: the outbox shows it."""
    FAILED = "failed"


class DeliveryStatus(StrEnum):
    """What became of a callback."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


Status = (
    VersionStatus | ReplicaStatus | RunStatus | JobStatus | CommandStatus | DeviceStatus | MailStatus | DeliveryStatus
)

_V, _P, _R, _J, _C, _D = VersionStatus, ReplicaStatus, RunStatus, JobStatus, CommandStatus, DeviceStatus
_M, _B = MailStatus, DeliveryStatus
_MOVES: tuple[tuple[Status, frozenset[Status]], ...] = (
    (_V.BUILDING, frozenset({_V.STARTING, _V.READY, _V.FAILED, _V.RETIRED})),
    (_V.STARTING, frozenset({_V.READY, _V.FAILED, _V.RETIRED})),
    (_V.READY, frozenset({_V.SLEEPING, _V.RETIRED, _V.FAILED})),
    (_V.SLEEPING, frozenset({_V.READY, _V.RETIRED, _V.FAILED})),
    (_V.RETIRED, frozenset({_V.READY, _V.SLEEPING})),
    (_V.FAILED, frozenset({_V.BUILDING})),
    (_P.STARTING, frozenset({_P.READY, _P.DRAINING, _P.CRASHED, _P.GONE})),
    (_P.READY, frozenset({_P.BUSY, _P.DRAINING, _P.CRASHED, _P.GONE})),
    (_P.BUSY, frozenset({_P.READY, _P.DRAINING, _P.CRASHED, _P.GONE})),
    (_P.DRAINING, frozenset({_P.GONE, _P.CRASHED})),
    (_P.CRASHED, frozenset({_P.STARTING, _P.CRASH_LOOP, _P.GONE})),
    (_P.CRASH_LOOP, frozenset({_P.STARTING, _P.GONE})),
    (_P.GONE, frozenset()),
    (_R.PLANNED, frozenset({_R.STARTING, _R.SKIPPED, _R.CANCELED, _R.FAILED})),
    (_R.STARTING, frozenset({_R.READY, _R.STOPPING, _R.FAILED, _R.SUCCEEDED, _R.CANCELED})),
    (_R.READY, frozenset({_R.STARTING, _R.STOPPING, _R.FAILED, _R.SUCCEEDED, _R.CANCELED})),
    (_R.STOPPING, frozenset({_R.SUCCEEDED, _R.FAILED, _R.CANCELED})),
    (_R.SUCCEEDED, frozenset()),
    (_R.FAILED, frozenset()),
    (_R.CANCELED, frozenset()),
    (_R.SKIPPED, frozenset()),
    (_J.QUEUED, frozenset({_J.RUNNING, _J.CANCELED, _J.FAILED})),
    (_J.RUNNING, frozenset({_J.QUEUED, _J.SUCCEEDED, _J.FAILED, _J.CANCELED})),
    (_J.SUCCEEDED, frozenset()),
    (_J.FAILED, frozenset({_J.QUEUED})),  # jobs replay
    (_J.CANCELED, frozenset({_J.QUEUED})),  # jobs replay
    (_C.ACCEPTED, frozenset({_C.SENT, _C.FAILED})),
    (_C.SENT, frozenset({_C.SENT, _C.DELIVERED, _C.APPLIED, _C.OBSERVED, _C.FAILED})),
    (_C.DELIVERED, frozenset({_C.APPLIED, _C.OBSERVED, _C.FAILED})),
    (_C.APPLIED, frozenset({_C.OBSERVED, _C.FAILED})),
    (_C.OBSERVED, frozenset()),
    (_C.FAILED, frozenset()),
    (_D.PROVISIONED, frozenset({_D.ONLINE, _D.RETIRED})),
    (_D.ONLINE, frozenset({_D.STALE, _D.OFFLINE, _D.PROVISIONED, _D.RETIRED})),
    (_D.STALE, frozenset({_D.ONLINE, _D.OFFLINE, _D.PROVISIONED, _D.RETIRED})),
    (_D.OFFLINE, frozenset({_D.ONLINE, _D.PROVISIONED, _D.RETIRED})),
    (_D.RETIRED, frozenset({_D.PROVISIONED})),
    (_M.WAITING, frozenset({_M.SENT, _M.KEPT, _M.FAILED})),
    (_M.SENT, frozenset()),
    (_M.KEPT, frozenset({_M.WAITING})),
    (_M.FAILED, frozenset({_M.WAITING})),
    (_B.WAITING, frozenset({_B.DELIVERED, _B.FAILED})),
    (_B.DELIVERED, frozenset()),
    (_B.FAILED, frozenset()),
)
MOVES: Mapping[tuple[type[Status], Status], frozenset[Status]] = {(type(old), old): new for old, new in _MOVES}
"""The kind of life stands in the key: members of two enums with the same text are equal and hash alike."""


def can_move(old: Status, new: Status) -> bool:
    return type(old) is type(new) and new in MOVES[type(old), old]


def is_final(status: Status) -> bool:
    """Whether the life ends here (a replay of a job starts a new one)."""
    return (type(status), status) in _FINAL


def check_move(old: Status, new: Status) -> None:
    """Raise :class:`Conflict` unless ``old`` may become ``new``."""
    if not can_move(old, new):
        legal = ", ".join(sorted(MOVES[type(old), old])) or "nothing"
        raise Conflict(f"{old} cannot become {new}", code="illegal_move", hint=f"from {old}: {legal}")


_FINAL: frozenset[tuple[type[Status], Status]] = frozenset(
    (type(status), status)
    for status in (
        _P.GONE,
        _R.SUCCEEDED,
        _R.FAILED,
        _R.CANCELED,
        _R.SKIPPED,
        _J.SUCCEEDED,
        _J.FAILED,
        _J.CANCELED,
        _C.OBSERVED,
        _C.FAILED,
        _B.DELIVERED,
        _B.FAILED,
    )
)
