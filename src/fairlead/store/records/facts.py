"""What other sites say of a model's paper and weights, as it was when they were asked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.store.records.base import Base, JsonOf, Moment


class CardFact(Base, kw_only=True):
    """What one site said of one thing; without ``facts`` it could not be asked, and ``why`` tells."""

    __tablename__ = "card_facts"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    """arxiv or huggingface."""
    ref: Mapped[str] = mapped_column(Text, primary_key=True)
    """Id of the paper, or ``owner/name``."""
    facts: Mapped[dict[str, Any] | None] = mapped_column(JsonOf(dict[str, Any]), default=None)
    why: Mapped[str] = mapped_column(Text, default="")
    fetched_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """When ``facts`` were told."""
    tried_at: Mapped[datetime] = mapped_column(Moment)
    """When it was asked last."""
