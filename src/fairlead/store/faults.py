"""Faults of the database as ours: what the drivers say is translated here alone."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, IntegrityError

from fairlead.errors import Busy, Conflict, Error, Unavailable

_RETRY_AFTER_S = 1.0


def translated(error: DBAPIError) -> Error:
    """Return our error for one of the driver's."""
    # A full disk makes SQLite drop the whole transaction, so that the rollback to a savepoint fails as well: what
    # came first is the cause.
    while isinstance(error.__context__, DBAPIError):
        error = error.__context__
    said = _said(error)
    if isinstance(error, IntegrityError):
        return Conflict(
            f"it clashes with what is stored: {said}", code="clash", hint="read it again, then repeat what you did"
        )
    lowered = said.lower()
    if "disk is full" in lowered or "no space left" in lowered:
        return Unavailable(
            "the disk of the database is full", code="disk_full", hint="free space; nothing needs a restart",
            retry_after_s=30,
        )  # fmt: skip
    if "disk i/o error" in lowered:
        return Unavailable(
            f"the database's disk failed: {said}", code="database_broken", hint="check the disk, then start again"
        )
    if "malformed" in lowered or "not a database" in lowered:
        return Unavailable(
            f"the database is damaged: {said}",
            code="database_damaged",
            hint="stop the platform and put back a backup of the home",
        )
    return unavailable(said)


def _said(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if error.orig else str(error)


def busy(waiting: str) -> Busy:
    return Busy(
        f"{waiting} wait for the database",
        code="store_busy",
        hint="try again in a second",
        retry_after_s=_RETRY_AFTER_S,
    )


def unavailable(said: str) -> Unavailable:
    return Unavailable(
        f"the database is not available: {said}",
        code="database_unavailable",
        hint="fairlead doctor tells more; it is tried again by itself",
        retry_after_s=_RETRY_AFTER_S,
    )
