"""Bundles, models, their versions and aliases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.messages import EnvironmentSpec, ErrorInfo, Evidence, Target
from fairlead.status import VersionStatus
from fairlead.store.records.base import ERROR, WORDS, Base, JsonOf, Moment, status_of

TARGETS: JsonOf[tuple[Target, ...]] = JsonOf(tuple[Target, ...])
ENVIRONMENT: JsonOf[EnvironmentSpec] = JsonOf(EnvironmentSpec)
EVIDENCE: JsonOf[Evidence] = JsonOf(Evidence)
OBJECT: JsonOf[dict[str, Any]] = JsonOf(dict[str, Any])


class Bundle(Base, kw_only=True):
    """A checked zip in the bucket."""

    __tablename__ = "bundles"

    digest: Mapped[str] = mapped_column(Text, primary_key=True)
    """Hex SHA-256 of its content."""
    kind: Mapped[str] = mapped_column(Text)
    """model or app."""
    name: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[str] = mapped_column(Text)
    """Key in the bucket."""
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)


class BundleFile(Base, kw_only=True):
    """A larger file of a bundle, so that whoever pushed it need not send it again."""

    __tablename__ = "bundle_files"

    bundle: Mapped[str] = mapped_column(ForeignKey("bundles.digest"), primary_key=True)
    path: Mapped[str] = mapped_column(Text, primary_key=True)
    sha256: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("bundle_files_sha256", "sha256"),)


class Model(Base, kw_only=True):
    """A model by name."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    owner: Mapped[str] = mapped_column(ForeignKey("users.name"))
    visibility: Mapped[str] = mapped_column(Text, default="team")
    """private, team or public: what is in force."""
    asked: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    """What the newest manifest asks for that takes a configurer's grant: ``public``, ``outbound``."""
    granted: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    """What a configurer granted."""
    summary: Mapped[str] = mapped_column(Text, default="")
    card: Mapped[dict[str, Any]] = mapped_column(OBJECT, default_factory=dict)
    """Authors, license, paper and so on, of the newest version."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    removed_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """Since when it is as if it were not there; whoever pushes the name then has it."""


class ModelVersion(Base, kw_only=True):
    """One version of a model: never changes but in its status and what was found out about it."""

    __tablename__ = "model_versions"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    version: Mapped[str] = mapped_column(Text, primary_key=True)
    ordinal: Mapped[int]
    """1 for the first version of the model, then one more each."""
    digest: Mapped[str] = mapped_column(ForeignKey("bundles.digest"))
    status: Mapped[VersionStatus] = mapped_column(status_of(VersionStatus), default=VersionStatus.BUILDING)
    reason: Mapped[str] = mapped_column(Text, default="")
    manifest: Mapped[str] = mapped_column(Text)
    """The manifest as JSON."""
    environment: Mapped[EnvironmentSpec] = mapped_column(ENVIRONMENT, default=EnvironmentSpec())
    """What its environment is built from."""
    signature: Mapped[dict[str, Any] | None] = mapped_column(OBJECT, default=None)
    """Inputs and outputs, as the inspection found them."""
    preload: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    warnings: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    attempt: Mapped[int] = mapped_column(default=0)
    """Counts deliberate new starts."""
    step: Mapped[str] = mapped_column(Text, default="")
    """How far its preparation has come: fetch, environment, inspect, done."""
    last_lines: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    """The last lines of its log when it failed."""
    takes: Mapped[str | None] = mapped_column(Text, default=None)
    """Alias that it takes once it is ready."""
    takes_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """When that was asked for: whoever was asked last has the alias, whatever is ready first."""
    replicas: Mapped[int] = mapped_column(default=0)
    """Wanted by the autoscaler; 0: whatever the waker starts."""
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    ready_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """When it was ready for the first time."""
    last_called_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    error: Mapped[ErrorInfo | None] = mapped_column(ERROR, default=None)
    """Why it failed, with its code and what to do."""
    removed_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """Since when it is not listed any more; its number stays taken, and its content pushed again brings it back."""
    evidence: Mapped[Evidence | None] = mapped_column(EVIDENCE, default=None)
    """How its examples went when a replica of it was checked last."""

    __table_args__ = (
        UniqueConstraint("model", "ordinal"),
        Index("model_versions_digest", "digest"),
    )


class Alias(Base, kw_only=True):
    """A name such as ``production`` for one or, weighted, several versions of a model."""

    __tablename__ = "aliases"

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    alias: Mapped[str] = mapped_column(Text, primary_key=True)
    targets: Mapped[tuple[Target, ...]] = mapped_column(TARGETS)
    previous: Mapped[tuple[Target, ...]] = mapped_column(TARGETS, default=())
    """What it held before: what a rollback puts back."""
    moved_by: Mapped[str] = mapped_column(Text)
    moved_at: Mapped[datetime] = mapped_column(Moment)
    asked_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """When the move was asked for: by a push, long before it was made."""


class App(Base, kw_only=True):
    """An app by name; models and apps share one set of names."""

    __tablename__ = "apps"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    owner: Mapped[str] = mapped_column(ForeignKey("users.name"))
    visibility: Mapped[str] = mapped_column(Text, default="team")
    asked: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    granted: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    summary: Mapped[str] = mapped_column(Text, default="")
    card: Mapped[dict[str, Any]] = mapped_column(OBJECT, default_factory=dict)
    created_at: Mapped[datetime] = mapped_column(Moment)
    removed_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """Removed apps are as if they were not there; a push brings one back, to whoever pushed it."""


class AppVersion(Base, kw_only=True):
    """One version of an app; ``ready`` when its environment is built and its entry was imported once."""

    __tablename__ = "app_versions"

    app: Mapped[str] = mapped_column(ForeignKey("apps.name"), primary_key=True)
    version: Mapped[str] = mapped_column(Text, primary_key=True)
    ordinal: Mapped[int]
    digest: Mapped[str] = mapped_column(ForeignKey("bundles.digest"))
    status: Mapped[VersionStatus] = mapped_column(status_of(VersionStatus), default=VersionStatus.BUILDING)
    reason: Mapped[str] = mapped_column(Text, default="")
    manifest: Mapped[str] = mapped_column(Text)
    environment: Mapped[EnvironmentSpec] = mapped_column(ENVIRONMENT, default=EnvironmentSpec())
    warnings: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    attempt: Mapped[int] = mapped_column(default=0)
    step: Mapped[str] = mapped_column(Text, default="")
    last_lines: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    takes: Mapped[str | None] = mapped_column(Text, default=None)
    takes_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    ready_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    error: Mapped[ErrorInfo | None] = mapped_column(ERROR, default=None)

    __table_args__ = (
        UniqueConstraint("app", "ordinal"),
        Index("app_versions_digest", "digest"),
    )


class AppAlias(Base, kw_only=True):
    """A name such as ``production`` for one version of an app."""

    __tablename__ = "app_aliases"

    app: Mapped[str] = mapped_column(Text, primary_key=True)
    alias: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[str] = mapped_column(Text)
    previous: Mapped[str | None] = mapped_column(Text, default=None)
    moved_by: Mapped[str] = mapped_column(Text)
    moved_at: Mapped[datetime] = mapped_column(Moment)
    asked_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """When the move was asked for: by a push, long before it was made."""

    __table_args__ = (ForeignKeyConstraint(["app", "version"], ["app_versions.app", "app_versions.version"]),)
