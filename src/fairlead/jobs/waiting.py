"""Jobs that wait in the ledger: found by seeks in their index (``jobs_waiting``), however many there are."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Select, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from fairlead.store.records import Job

QUEUED = Job.status == literal_column("'queued'")
"""Literal: SQLite takes a partial index only where the statement itself holds its condition."""

Key = tuple[str, str]
"""Model and version."""


def waiting() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of jobs that are not ordered: those of their index."""
    return (QUEUED, Job.lease_until.is_(None))


def waiting_versions(session: Session) -> Iterator[Key]:
    """Yield all versions that have jobs waiting: a seek or two each.

    Not one seek with (model, version) > (…): SQLite reads all jobs of the model then.
    """
    model = session.scalar(_first(Job.model))
    while model is not None:
        version = session.scalar(_first(Job.version, Job.model == model))
        while version is not None:
            yield model, version
            version = session.scalar(_first(Job.version, Job.model == model, Job.version > version))
        model = session.scalar(_first(Job.model, Job.model > model))


def _first(column: InstrumentedAttribute[str], *conditions: ColumnElement[bool]) -> Select[str]:
    return select(column).where(*waiting(), *conditions).order_by(column).limit(1)
