"""The outbox."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Text
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.messages import Attachment
from fairlead.status import MailStatus
from fairlead.store.records.base import WORDS, Base, JsonOf, Moment, status_of
from fairlead.store.records.devices import BIG_ID

ATTACHMENTS: JsonOf[tuple[Attachment, ...]] = JsonOf(tuple[Attachment, ...])


class Mail(Base, kw_only=True):
    """A letter: written with what it tells of in one transaction, sent afterwards."""

    __tablename__ = "mails"

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True, autoincrement=True, default=None)
    to: Mapped[tuple[str, ...]] = mapped_column(WORDS)
    subject: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    attach: Mapped[tuple[Attachment, ...]] = mapped_column(ATTACHMENTS, default=())
    """Files in the bucket that go with it."""
    run: Mapped[str | None] = mapped_column(Text, default=None, index=True)
    status: Mapped[MailStatus] = mapped_column(status_of(MailStatus), default=MailStatus.WAITING)
    reason: Mapped[str] = mapped_column(Text, default="")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(Moment)
    """Not sent before this moment: retries wait."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    sent_at: Mapped[datetime | None] = mapped_column(Moment, default=None)

    __table_args__ = (
        Index(
            "mails_waiting",
            "due_at",
            sqlite_where=sql("status = 'waiting'"),
            postgresql_where=sql("status = 'waiting'"),
        ),
    )
