"""Takes pushed bundles in: checked whole, stored by digest, registered as a version."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts.policy import Caller, Verb, check
from fairlead.apps import versions as apps
from fairlead.buckets.keys import bundle_key
from fairlead.bundles import archive
from fairlead.bundles.archive import Limits
from fairlead.bundles.check import check as check_bundle
from fairlead.bundles.manifest import AppManifest, ModelManifest
from fairlead.bundles.specs import environment_spec
from fairlead.control.parts import Parts
from fairlead.messages import EnvironmentSpec
from fairlead.models import service as models
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
class _Bundle:
    manifest: ModelManifest | AppManifest
    digest: str
    environment: EnvironmentSpec
    warnings: tuple[str, ...]


class Pushes:
    """The way in for bundles."""

    def __init__(self, parts: Parts, nudge: Callable[[], None]) -> None:
        self._parts, self._nudge = parts, nudge
        self._slots = asyncio.Semaphore(2)

    def incoming(self) -> Path:
        """Return a path for an upload; whoever takes it removes it."""
        folder = self._parts.home.keeper / "incoming"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / f"{ids.ulid()}.zip"

    async def take(self, file: Path, who: Caller, alias: str) -> Pushed:
        """Register the zip ``file``; raises :class:`fairlead.errors.Invalid` with all problems, and as the rooms do."""
        async with self._slots:
            bundle = await asyncio.to_thread(self._look, file)
        is_model = isinstance(bundle.manifest, ModelManifest)
        check(who, Verb.PUSH_MODELS if is_model else Verb.PUSH_APPS)
        key = bundle_key(bundle.digest)
        size = file.stat().st_size
        now = self._parts.clock.now()

        def write(session: Session) -> Pushed:
            if isinstance(bundle.manifest, ModelManifest):
                asked = models.Pushed(
                    manifest=bundle.manifest,
                    digest=bundle.digest,
                    size_bytes=size,
                    key=key,
                    environment=bundle.environment,
                    warnings=bundle.warnings,
                    alias=alias,
                )
                push = models.push(session, who, asked, now)
                return _of_model(push.version, bundle, push.again)
            registered = apps.register(
                session,
                apps.Pushed(
                    manifest=bundle.manifest,
                    environment=bundle.environment,
                    digest=bundle.digest,
                    key=key,
                    size_bytes=size,
                ),
                now,
                by=who.name,
                alias=None if alias == models.NO_ALIAS else alias,
                admin=who.may(Verb.MANAGE_OTHERS),
            )
            return _of_app(registered.version, bundle, not registered.created)

        async with self._parts.keys.holding(key):  # else it might be taken for an orphan of an earlier push
            await self._parts.bucket.put(key, file, content_type="application/zip")
            pushed = await self._parts.database.write(write)
        self._nudge()
        return pushed

    def _look(self, file: Path) -> _Bundle:
        """Unpack into a folder of its own, check, and remove it again."""
        limits = Limits(total_bytes=self._parts.settings.bundle_max_bytes)
        folder = file.with_suffix("")
        try:
            digest = archive.unpack(file, folder, limits)
            checked = check_bundle(folder, limits, everything=True)
            manifest = checked.require()
            warnings = tuple(f"{one.path}: {one.message}" for one in checked.warnings)
            return _Bundle(manifest, digest, environment_spec(manifest, folder), warnings)
        finally:
            _remove(folder)


def _of_model(version: ModelVersion, bundle: _Bundle, again: bool) -> Pushed:
    return Pushed("model", version.model, version.version, bundle.digest, version.status.value, version.warnings, again)


def _of_app(version: AppVersion, bundle: _Bundle, again: bool) -> Pushed:
    return Pushed("app", version.app, version.version, bundle.digest, version.status.value, bundle.warnings, again)


def _remove(folder: Path) -> None:
    """Remove an unpacked bundle, whose folders are read-only."""
    if not folder.exists():
        return
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
