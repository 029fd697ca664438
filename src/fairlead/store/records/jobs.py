"""Jobs: durable calls of a model."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.messages import ErrorInfo
from fairlead.status import JobStatus
from fairlead.store.records.base import ERROR, Base, JsonOf, Moment, status_of


class Progress(msgspec.Struct, frozen=True):
    """How far a job says it has come."""

    step: int
    total: int | None = None
    note: str = ""


PROGRESS: JsonOf[Progress] = JsonOf(Progress)


class Job(Base, kw_only=True):
    """A durable call of a model. The row is the promise: it is committed before anyone hears 202."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    endpoint: Mapped[str] = mapped_column(Text, default="predict")
    status: Mapped[JobStatus] = mapped_column(status_of(JobStatus), default=JobStatus.QUEUED)
    reason: Mapped[str] = mapped_column(Text, default="")
    epoch: Mapped[int] = mapped_column(default=0)
    """Grows with each order that is sent; only the holder of the newest may end the job."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often a replica began it."""
    due_at: Mapped[datetime] = mapped_column(Moment)
    """Not ordered before this moment: retries wait."""
    lease_until: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """Until when the order holds without a word from its holder."""
    node: Mapped[str] = mapped_column(Text, default="")
    """Where the newest order went."""
    replica: Mapped[str] = mapped_column(Text, default="")
    priority: Mapped[str] = mapped_column(Text, default="normal")
    """normal or batch."""
    timeout_s: Mapped[float] = mapped_column(default=60)

    body: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    """The input where it is small."""
    input_key: Mapped[str] = mapped_column(Text, default="")
    """Key of the input in the bucket where it is not."""
    content_type: Mapped[str] = mapped_column(Text, default="application/json")
    accept: Mapped[str] = mapped_column(Text, default="*/*")
    result: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    result_key: Mapped[str] = mapped_column(Text, default="")
    result_type: Mapped[str] = mapped_column(Text, default="")
    """Content type of the result."""
    error: Mapped[ErrorInfo | None] = mapped_column(ERROR, default=None)
    progress: Mapped[Progress | None] = mapped_column(PROGRESS, default=None)

    idempotency_key: Mapped[str | None] = mapped_column(Text, default=None)
    body_hash: Mapped[str] = mapped_column(Text, default="")
    """Hex SHA-256 of model, endpoint and input: the same key with another is refused."""
    callback_url: Mapped[str | None] = mapped_column(Text, default=None)
    run: Mapped[str | None] = mapped_column(Text, default=None)
    """The run of an app that submitted it."""
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    started_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    finished_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    deadline_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    expires_at: Mapped[datetime] = mapped_column(Moment)
    """When row, input and result may be removed, once it has ended."""
    request: Mapped[str] = mapped_column(Text, default="", server_default="")
    """Id of the request that submitted it."""
    trace: Mapped[str] = mapped_column(Text, default="", server_default="")
    """Its W3C ``traceparent``, empty where it had none."""
    alias: Mapped[str] = mapped_column(Text, default="", server_default="")
    """The alias by which it was addressed, empty where its version was named: see ``jobs.following``."""

    __table_args__ = (
        UniqueConstraint("created_by", "idempotency_key"),
        Index(
            "jobs_waiting",
            "model",
            "version",
            "priority",
            "due_at",
            "id",
            "alias",
            sqlite_where=text("status = 'queued' AND lease_until IS NULL"),
            postgresql_where=text("status = 'queued' AND lease_until IS NULL"),
        ),
        Index(
            "jobs_ordered",
            "model",
            "version",
            "node",
            "id",
            "epoch",
            sqlite_where=text("lease_until IS NOT NULL"),
            postgresql_where=text("lease_until IS NOT NULL"),
        ),
        Index(
            "jobs_deadline",
            "deadline_at",
            sqlite_where=text("status = 'queued' AND deadline_at IS NOT NULL"),
            postgresql_where=text("status = 'queued' AND deadline_at IS NOT NULL"),
        ),
        Index(
            "jobs_leased",
            "lease_until",
            sqlite_where=text("lease_until IS NOT NULL"),
            postgresql_where=text("lease_until IS NOT NULL"),
        ),
        Index("jobs_model_created_at", "model", "created_at"),
        *(
            Index(
                f"jobs_{column}",
                column,
                sqlite_where=text("finished_at IS NOT NULL"),
                postgresql_where=text("finished_at IS NOT NULL"),
            )
            for column in ("expires_at", "finished_at")
        ),
    )
