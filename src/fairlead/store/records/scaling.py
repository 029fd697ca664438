"""What was decided about replicas, and why."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.store.records.base import Base, JsonOf, Moment
from fairlead.store.records.devices import BIG_ID

INPUTS: JsonOf[dict[str, float | None]] = JsonOf(dict[str, float | None])


class ScalingDecision(Base, kw_only=True):
    """A change of how many replicas a version shall have. The last of each version are kept."""

    __tablename__ = "scaling_decisions"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True, autoincrement=True, default=None)
    model: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Moment)
    was: Mapped[int]
    wanted: Mapped[int]
    rule: Mapped[str] = mapped_column(Text)
    why: Mapped[str] = mapped_column(Text)
    inputs: Mapped[dict[str, float | None]] = mapped_column(INPUTS, default_factory=dict)
    """What it was decided from."""

    __table_args__ = (Index("scaling_decisions_version", "model", "version", "id"),)
