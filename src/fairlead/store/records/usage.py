"""What people and their tokens have used: calls by day, and the bundles that they keep here."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.store.records.base import Base


class Usage(Base, kw_only=True):
    """Calls of one person or one token on one UTC day."""

    __tablename__ = "usage"

    day: Mapped[str] = mapped_column(Text, primary_key=True)
    """``2026-11-21``."""
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    """user or token."""
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger)


class CallMark(Base, kw_only=True):
    """The most that one replica is known to have counted for one token on one UTC day: only what is above is new."""

    __tablename__ = "call_marks"

    day: Mapped[str] = mapped_column(Text, primary_key=True)
    source: Mapped[str] = mapped_column(Text, primary_key=True)
    token: Mapped[str] = mapped_column(Text, primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger)


class StoredBundle(Base, kw_only=True):
    """A bundle that somebody pushed under a name that is still there."""

    __tablename__ = "stored_bundles"

    user: Mapped[str] = mapped_column(ForeignKey("users.name"), primary_key=True)
    digest: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    """Of the model or app."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """Unpacked."""
