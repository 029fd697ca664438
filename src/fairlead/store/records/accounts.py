"""People, their tokens, and secrets of bundles."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.store.records.base import WORDS, Base, Moment
from fairlead.store.records.devices import BIG_ID


class User(Base, kw_only=True):
    """A person, or a program with an account of its own."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    password_hash: Mapped[str | None] = mapped_column(Text, default=None)
    """Argon2id; none: cannot sign in by password."""
    roles: Mapped[tuple[str, ...]] = mapped_column(WORDS)
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(Moment)
    calls_per_day: Mapped[int | None] = mapped_column(BigInteger, default=None)
    """Calls in a UTC day, all tokens together; none: as the installation says, 0: any number."""
    stored_mb: Mapped[int | None] = mapped_column(BigInteger, default=None)
    """Megabytes of bundles that are kept; as above."""


class Token(Base, kw_only=True):
    """An access token that was given out; the token itself is stored nowhere."""

    __tablename__ = "tokens"

    jti: Mapped[str] = mapped_column(Text, primary_key=True)
    """The token's id, ``tok-…``."""
    user: Mapped[str] = mapped_column(ForeignKey("users.name"), index=True)
    label: Mapped[str] = mapped_column(Text)
    roles: Mapped[tuple[str, ...]] = mapped_column(WORDS)
    session: Mapped[bool] = mapped_column(default=False)
    """Made by signing in, not by ``tokens new``."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment, index=True)
    revoked_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    calls_per_day: Mapped[int | None] = mapped_column(BigInteger, default=None)
    """Calls in a UTC day by this token; none: any number that its user may."""


class Secret(Base, kw_only=True):
    """A secret that a bundle gets as an environment variable, encrypted with the home's key."""

    __tablename__ = "secrets"

    bundle: Mapped[str] = mapped_column(Text, primary_key=True)
    """Name of the model or app."""
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    sealed: Mapped[bytes]
    set_by: Mapped[str] = mapped_column(Text)
    set_at: Mapped[datetime] = mapped_column(Moment)


class FormerSecret(Base, kw_only=True):
    """A value that a secret had before, encrypted alike: logs that hold it are shown without."""

    __tablename__ = "former_secrets"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True, autoincrement=True, default=None)
    bundle: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    sealed: Mapped[bytes]
    replaced_at: Mapped[datetime] = mapped_column(Moment)

    __table_args__ = (Index("former_secrets_bundle", "bundle"),)
