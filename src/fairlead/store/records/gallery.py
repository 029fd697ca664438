"""Results that people keep on purpose."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.store.records.base import Base, JsonOf, Moment

FIELDS: JsonOf[dict[str, Any]] = JsonOf(dict[str, Any])


class GalleryEntry(Base, kw_only=True):
    """One kept result: its bytes lie in the bucket, and stay there when job, version and model are gone."""

    __tablename__ = "gallery"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    """What it was made from: the job, or a digest of what was sent. The same person keeps the same once."""
    job: Mapped[str | None] = mapped_column(Text, default=None)
    model: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    endpoint: Mapped[str] = mapped_column(Text, default="predict")
    title: Mapped[str] = mapped_column(Text, default="")
    prompt: Mapped[str] = mapped_column(Text, default="")
    seed: Mapped[int | None] = mapped_column(BigInteger, default=None)
    inputs: Mapped[dict[str, Any]] = mapped_column(FIELDS, default_factory=dict)
    """What the model was asked, files left out."""
    outputs: Mapped[dict[str, Any]] = mapped_column(FIELDS, default_factory=dict)
    """What it answered beside the content."""
    key: Mapped[str] = mapped_column(Text)
    """Of the content in the bucket."""
    content_type: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(Text)
    visibility: Mapped[str] = mapped_column(Text, default="private")
    """private, team or public."""
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    made_at: Mapped[datetime] = mapped_column(Moment)
    """When the model answered."""

    __table_args__ = (
        UniqueConstraint("created_by", "source"),
        Index("gallery_model", "model", "id"),
    )
