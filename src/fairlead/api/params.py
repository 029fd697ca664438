"""What several routers take in paths and queries, with the bounds of what the records can hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator

from fairlead.errors import Invalid

_LAST = 2**63 - 1


def _within_time(moment: datetime) -> datetime:
    """Return ``moment`` in UTC; raises :class:`Invalid` where it has no offset or UTC has no such year."""
    hint = "2026-11-20T14:03:00Z"
    if moment.tzinfo is None:
        raise Invalid("a moment needs its offset from UTC", code="moment_invalid", hint=hint)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise Invalid("UTC has the years 1 to 9999", code="moment_invalid", hint=hint) from error


RowNumber = Annotated[int, Path(ge=0, le=_LAST)]
"""Number of a row, in a path."""
AfterRow = Annotated[int | None, Query(ge=0, le=_LAST)]
"""Number of a row at which a list begins or ends, in a query."""
Moment = Annotated[datetime, AfterValidator(_within_time)]
"""A moment with its offset."""
