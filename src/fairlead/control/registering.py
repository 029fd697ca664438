"""Registers a bundle that was checked and lies in the bucket: as a model or an app, with its files and who keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.accounts import usage
from fairlead.accounts.policy import Caller, Verb
from fairlead.apps import lacking
from fairlead.apps import versions as apps
from fairlead.bundles.archive import File
from fairlead.bundles.manifest import AppManifest, ModelManifest
from fairlead.control.contents import record
from fairlead.messages import EnvironmentSpec
from fairlead.models import pushed
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
    if isinstance(bundle.manifest, ModelManifest):
        push = models.push(session, who, _asked(bundle.manifest, bundle, stored), now, alias)
        made = _of_model(push.version, bundle, push.again)
    else:
        registered = apps.register(
            session,
            _asked(bundle.manifest, bundle, stored),
            now,
            by=who.name,
            alias=None if alias == NO_ALIAS else alias,
            admin=who.may(Verb.MANAGE_OTHERS),
        )
        lacks = tuple(lacking.text(one) for one in lacking.here(session, who, bundle.manifest))
        made = _of_app(registered.version, bundle, not registered.created, lacks)
    record(session, bundle.digest, bundle.files)
    usage.keep(session, who.name, bundle.digest, made.name, sum(one.size for one in bundle.files))
    return made


def _asked(manifest: pushed.M, bundle: Checked, stored: Stored) -> pushed.Pushed[pushed.M]:
    return pushed.Pushed(
        manifest=manifest,
        digest=bundle.digest,
        size_bytes=stored.size_bytes,
        key=stored.key,
        environment=bundle.environment,
        warnings=bundle.warnings,
    )


def _of_model(version: ModelVersion, bundle: Checked, again: bool) -> Pushed:
    return Pushed("model", version.model, version.version, bundle.digest, version.status.value, version.warnings, again)


def _of_app(version: AppVersion, bundle: Checked, again: bool, lacks: tuple[str, ...]) -> Pushed:
    told = (*bundle.warnings, *lacks)
    return Pushed("app", version.app, version.version, bundle.digest, version.status.value, told, again)
