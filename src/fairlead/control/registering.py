"""Registers a bundle that was checked and lies in the bucket: as a model or an app, with its files and who keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.accounts import usage
from fairlead.accounts.policy import Caller, Verb
from fairlead.apps import versions as apps
from fairlead.bundles.archive import File
from fairlead.bundles.manifest import AppManifest, ModelManifest
from fairlead.control.contents import record
from fairlead.messages import EnvironmentSpec
from fairlead.models import service as models
from fairlead.models.aliases import NO_ALIAS
from fairlead.store.records import AppVersion, ModelVersion


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push came to."""

    kind: str
    name: str
    version: str
    digest: str
    status: str
    warnings: tuple[str, ...]
    again: bool
    """The same content was there already."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A bundle without faults."""

    manifest: ModelManifest | AppManifest
    digest: str
    environment: EnvironmentSpec
    warnings: tuple[str, ...]
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """Where its zip lies in the bucket."""

    key: str
    size_bytes: int


def register(session: Session, who: Caller, bundle: Checked, stored: Stored, alias: str, now: datetime) -> Pushed:
    """Keep the bundle as a version of its model or app; raises as their rooms do."""
    made = _model if isinstance(bundle.manifest, ModelManifest) else _app
    pushed = made(session, who, bundle, stored, alias, now)
    record(session, bundle.digest, bundle.files)
    usage.keep(session, who.name, bundle.digest, pushed.name, sum(one.size for one in bundle.files))
    return pushed


def _model(session: Session, who: Caller, bundle: Checked, stored: Stored, alias: str, now: datetime) -> Pushed:
    assert isinstance(bundle.manifest, ModelManifest)
    asked = models.Pushed(
        manifest=bundle.manifest,
        digest=bundle.digest,
        size_bytes=stored.size_bytes,
        key=stored.key,
        environment=bundle.environment,
        warnings=bundle.warnings,
        alias=alias,
    )
    push = models.push(session, who, asked, now)
    return _of_model(push.version, bundle, push.again)


def _app(session: Session, who: Caller, bundle: Checked, stored: Stored, alias: str, now: datetime) -> Pushed:
    assert isinstance(bundle.manifest, AppManifest)
    asked = apps.Pushed(
        manifest=bundle.manifest,
        environment=bundle.environment,
        digest=bundle.digest,
        key=stored.key,
        size_bytes=stored.size_bytes,
    )
    registered = apps.register(
        session,
        asked,
        now,
        by=who.name,
        alias=None if alias == NO_ALIAS else alias,
        admin=who.may(Verb.MANAGE_OTHERS),
    )
    return _of_app(registered.version, bundle, not registered.created)


def _of_model(version: ModelVersion, bundle: Checked, again: bool) -> Pushed:
    return Pushed("model", version.model, version.version, bundle.digest, version.status.value, version.warnings, again)


def _of_app(version: AppVersion, bundle: Checked, again: bool) -> Pushed:
    return Pushed("app", version.app, version.version, bundle.digest, version.status.value, bundle.warnings, again)
