"""The one writer of statuses, and of the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.status import Status, check_move
from fairlead.store.records import (
    AppVersion,
    Command,
    Delivery,
    Device,
    Event,
    Job,
    Mail,
    ModelVersion,
    Run,
)

Moving = ModelVersion | AppVersion | Job | Run | Command | Device | Mail | Delivery
"""Records that have a status."""


MOVES = "moves"
"""Key of a session's ``info``: how often something moved in it."""
MOVED = "moved"
"""Key of a session's ``info``: what moved in it."""
Move = tuple[str, str, str]
"""Kind, status it came to, and the model where the kind is job."""
Ref = tuple[str, str]
"""Kind and id of a record, as in the journal."""


def kind_of(record: Moving) -> str:
    """Return the kind under which the journal keeps ``record``."""
    match record:
        case ModelVersion():
            return "version"
        case AppVersion():
            return "app_version"
        case Job():
            return "job"
        case Run():
            return "run"
        case Command():
            return "command"
        case Device():
            return "device"
        case Mail():
            return "mail"
        case Delivery():
            return "delivery"


def ref_of(record: Moving) -> str:
    """Return the id under which the journal keeps ``record``."""
    match record:
        case ModelVersion():
            return f"{record.model}@{record.version}"
        case AppVersion():
            return f"{record.app}@{record.version}"
        case _:
            return str(record.id)


def move_to(
    session: Session,
    record: Moving,
    status: Status,
    reason: str,
    now: datetime,
    *,
    because: Sequence[str] = (),
    by: str = "",
) -> Event:
    """Set the status and its reason and write both to the journal; raises :class:`Conflict` for an illegal move."""
    before: Status = record.status
    check_move(before, status)
    record.status = status  # type: ignore[assignment] # check_move knows no move between two lives
    record.reason = reason
    event = Event(
        at=now,
        kind=kind_of(record),
        ref=ref_of(record),
        said=reason,
        status_from=before.value,
        status_to=status.value,
        because=tuple(because),
        by=by,
    )
    session.add(event)
    moves: Counter[Move] = session.info.setdefault(MOVES, Counter())
    moves[event.kind, status.value, record.model if isinstance(record, Job) else ""] += 1
    moved: set[Ref] = session.info.setdefault(MOVED, set())
    moved.add((event.kind, event.ref))
    return event


def note(
    session: Session,
    kind: str,
    ref: str,
    said: str,
    now: datetime,
    *,
    because: Sequence[str] = (),
    by: str = "",
    status: Status | None = None,
) -> Event:
    """Write to the journal something that is no move, or the ``status`` that a new record begins with."""
    event = Event(
        at=now,
        kind=kind,
        ref=ref,
        said=said,
        status_to=status.value if status else None,
        because=tuple(because),
        by=by,
    )
    session.add(event)
    return event
