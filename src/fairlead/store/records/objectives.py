"""What was counted for objectives, slice by slice; alerts that fire, and who is told of them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.store.records.base import WORDS, Base, Moment


class SloSlice(Base, kw_only=True):
    """What one source counted of one version within one slice of time; those of some days ago are hours."""

    __tablename__ = "slo_slices"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    sli: Mapped[str] = mapped_column(Text, primary_key=True)
    """availability, latency or jobs."""
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """When the slice begins, Unix seconds."""
    version: Mapped[str] = mapped_column(Text, primary_key=True)
    source: Mapped[str] = mapped_column(Text, primary_key=True)
    """Who counted: a keeper's own name for its count, or ``jobs``. What it tells of a slice only grows."""
    span_s: Mapped[int]
    valid: Mapped[int] = mapped_column(BigInteger)
    bad: Mapped[int] = mapped_column(BigInteger)
    bad_slices: Mapped[int] = mapped_column(default=0)
    """Of an hour: slices of the model in which more was bad than its objective allowed; in one row of the hour."""


class SloMark(Base, kw_only=True):
    """Up to where the ledger of jobs was counted."""

    __tablename__ = "slo_marks"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[datetime] = mapped_column(Moment)


class SloAlert(Base, kw_only=True):
    """An alert that fires, or that did last."""

    __tablename__ = "slo_alerts"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    sli: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    """fast, medium or slow."""
    since: Mapped[datetime] = mapped_column(Moment)
    calm_since: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """Since when its condition does not hold any more."""
    resolved_at: Mapped[datetime | None] = mapped_column(Moment, default=None)


class SloTarget(Base, kw_only=True):
    """Who is told of a model's alerts."""

    __tablename__ = "slo_targets"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    mail: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    webhook: Mapped[str] = mapped_column(Text, default="")
    set_by: Mapped[str] = mapped_column(Text)
    """Whose secret signs what is sent to ``webhook``."""
    set_at: Mapped[datetime] = mapped_column(Moment)
