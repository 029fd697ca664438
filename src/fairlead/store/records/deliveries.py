"""Callbacks of jobs, and what signs them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.status import DeliveryStatus
from fairlead.store.records.base import Base, Moment, status_of


class Delivery(Base, kw_only=True):
    """One callback: written with the end of its job in one transaction, sent afterwards."""

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    """``msg-…``: the receiver knows by it what it has had already."""
    job: Mapped[str] = mapped_column(Text, index=True)
    """The job that it tells of; empty: it tells of a model's objective."""
    url: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(Text)
    """Of the URL: each host has its turn."""
    user: Mapped[str] = mapped_column(Text)
    """Whose secret signs it."""
    body: Mapped[bytes]
    """The same bytes at each try."""
    status: Mapped[DeliveryStatus] = mapped_column(status_of(DeliveryStatus), default=DeliveryStatus.WAITING)
    reason: Mapped[str] = mapped_column(Text, default="")
    attempts: Mapped[int] = mapped_column(default=0)
    answered: Mapped[int] = mapped_column(default=0)
    """HTTP status of the last answer; 0: there was none."""
    due_at: Mapped[datetime] = mapped_column(Moment)
    """Not sent before this moment: retries wait."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    model: Mapped[str] = mapped_column(Text, default="", server_default="")
    """The model that it tells of, where it tells of no job."""

    __table_args__ = (
        Index(
            "deliveries_waiting",
            "host",
            "due_at",
            "id",
            sqlite_where=text("status = 'waiting'"),
            postgresql_where=text("status = 'waiting'"),
        ),
    )


class CallbackSecret(Base, kw_only=True):
    """What signs a person's callbacks, encrypted with the home's key."""

    __tablename__ = "callback_secrets"

    user: Mapped[str] = mapped_column(Text, primary_key=True)
    sealed: Mapped[bytes]
    set_at: Mapped[datetime] = mapped_column(Moment)
    former: Mapped[bytes | None] = mapped_column(default=None)
    """The one before, which signs as well for a while."""
    former_until: Mapped[datetime | None] = mapped_column(Moment, default=None)
