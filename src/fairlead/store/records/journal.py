"""The journal of events, and what is known of nodes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.store.records.base import WORDS, Base, Moment
from fairlead.store.records.devices import BIG_ID


class Event(Base, kw_only=True):
    """Something that happened: what ``why``, histories and the audit read. Only added, never changed."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True, autoincrement=True, default=None)
    at: Mapped[datetime] = mapped_column(Moment, index=True)
    kind: Mapped[str] = mapped_column(Text)
    """Of what: version, app_version, job, run, command, device, schedule, alias, user, token, location, type …"""
    ref: Mapped[str] = mapped_column(Text)
    """Its id; of a version ``name@version``, of an alias ``name@alias``."""
    said: Mapped[str] = mapped_column(Text)
    """What a person reads: the reason."""
    status_from: Mapped[str | None] = mapped_column(Text, default=None)
    status_to: Mapped[str | None] = mapped_column(Text, default=None)
    because: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    by: Mapped[str] = mapped_column(Text, default="")
    """User who had it done; empty: the platform."""

    __table_args__ = (Index("events_kind_ref", "kind", "ref", "id"),)


class Node(Base, kw_only=True):
    """A machine and its newest report."""

    __tablename__ = "nodes"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    generation: Mapped[int] = mapped_column(BigInteger, default=0)
    """Of the wanted state that was sent last."""
    wanted_hash: Mapped[str] = mapped_column(Text, default="")
    """Tells whether what is wanted differs from what was sent last."""
    report: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    """msgpack of ``messages.NodeReport``."""
    reported_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    drained: Mapped[bool] = mapped_column(default=False)
