"""Takes pushed bundles in: checked whole, stored by digest, registered as a version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts import quotas
from fairlead.accounts.policy import Caller, Verb, check
from fairlead.buckets.keys import bundle_key
from fairlead.bundles import archive, disk
from fairlead.bundles.archive import File
from fairlead.bundles.check import check as check_bundle
from fairlead.bundles.limits import Limits
from fairlead.bundles.listing import read as read_listing
from fairlead.bundles.manifest import ModelManifest
from fairlead.bundles.pack import pack
from fairlead.bundles.specs import environment_spec
from fairlead.control import assembly
from fairlead.control.assembly import Sources
from fairlead.control.contents import held
from fairlead.control.parts import Parts
from fairlead.control.registering import Checked, Pushed, Stored, register
from fairlead.control.uploads import Uploads, translated
from fairlead.errors import Conflict, Invalid, Problem


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a bundle must still be sent."""

    digest: str
    missing: tuple[tuple[File, int], ...]
    """Files of different content, each with how many bytes of it came already."""
    total_bytes: int


class Pushes:
    """The way in for bundles."""

    def __init__(self, parts: Parts, nudge: Callable[[], None]) -> None:
        self._parts, self._nudge = parts, nudge
        self._slots = asyncio.Semaphore(2)
        self._defaults = quotas.Defaults.of(parts.settings)
        self._limits = Limits(total_bytes=parts.settings.bundle_max_bytes)
        self.uploads = Uploads(self._folder, self._limits.total_bytes, self._limits.entries)

    @property
    def _folder(self) -> Path:
        return self._parts.home.keeper / "incoming"

    def incoming(self) -> Path:
        """Return a path for an upload; whoever takes it removes it."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return self._folder / f"{ids.ulid()}.zip"

    def read(self, listing: bytes) -> tuple[File, ...]:
        """Return the files of a list (JSON); raises :class:`fairlead.errors.Invalid` with all problems."""
        return read_listing(listing, self._limits)

    async def plan(self, files: Sequence[File], who: Caller) -> Plan:
        """Return which of ``files`` must be sent: those that ``who`` has sent neither now nor in an earlier bundle.

        Raises :class:`fairlead.errors.Unavailable` (``disk_full``) where there is no room for them, and
        :class:`fairlead.errors.Invalid` (``storage_exceeded``) where ``who`` may not keep so much.
        """
        await self._check_stored(who, archive.digest(files), files)
        sources = await self._sources(files, who)
        missing = {one.sha256: one for one in files if one.sha256 not in sources.held}
        total = sum(one.size for one in files)
        shared = sum(one.size for one in sources.held.values())
        self._folder.mkdir(mode=0o700, exist_ok=True)
        wanted = {content: one.size for content, one in missing.items()}
        # what is shared is fetched and unpacked; all is packed and put into the bucket
        self.uploads.make_room(who.name, wanted, 2 * (shared + total))
        still = [(one, self.uploads.offset(who.name, one.sha256)) for one in missing.values()]
        for one, at in still:
            if at > one.size:
                message = f"{one.path}: {at} bytes of this content are here, and the list says that it has {one.size}"
                raise Invalid(message, code="bundle_invalid", hint="list each file with its size in bytes")
        rest = tuple((one, at) for one, at in still if one.sha256 not in sources.sent)
        return Plan(archive.digest(files), rest, total)

    async def _sources(self, files: Sequence[File], who: Caller) -> Sources:
        contents = {one.sha256 for one in files}
        found = await self._parts.database.read(lambda session: held(session, who.name, contents))
        rest = contents - found.keys()
        sent = {content: path for content in rest if (path := self.uploads.whole(who.name, content)) is not None}
        return Sources(sent, found)

    async def put_together(self, files: Sequence[File], who: Caller, alias: str) -> Pushed:
        """Register the bundle of ``files``, all of which are here; raises as :meth:`take` does.

        Raises :class:`fairlead.errors.Conflict` (``files_missing``) where one is not.
        """
        sources = await self._sources(files, who)
        for one in files:
            if one.sha256 not in sources.sent and one.sha256 not in sources.held:
                raise _missing(one.path)
        file = self.incoming()
        folder = file.with_suffix("")
        try:
            async with self._slots:
                await assembly.assemble(files, sources, self._parts.bucket, folder, self._limits)
                bundle = await asyncio.to_thread(self._check, folder)
                if bundle.digest != archive.digest(files):
                    self.uploads.drop(who.name, sources.sent)
                    hint = "push again: what was sent is dropped"
                    raise Invalid("the files are not those of the list", code="digest_mismatch", hint=hint)
                await asyncio.to_thread(pack, folder, file, bundle.files)
            pushed = await self._keep(bundle, file, who, alias)
        except FileNotFoundError as error:  # another push of the same files was done with them
            raise _missing("a file") from error
        except OSError as error:
            raise translated(error) from error
        finally:
            await asyncio.to_thread(assembly.remove, folder)
        self.uploads.drop(who.name, sources.sent)
        return pushed

    async def take(self, file: Path, who: Caller, alias: str) -> Pushed:
        """Register the zip ``file``; raises :class:`fairlead.errors.Invalid` with all problems, and as the rooms do."""
        async with self._slots:
            bundle = await asyncio.to_thread(self._look, file)
        return await self._keep(bundle, file, who, alias)

    async def _keep(self, bundle: Checked, file: Path, who: Caller, alias: str) -> Pushed:
        """Store the checked zip ``file`` and register it."""
        is_model = isinstance(bundle.manifest, ModelManifest)
        check(who, Verb.PUSH_MODELS if is_model else Verb.PUSH_APPS)
        await self._check_stored(who, bundle.digest, bundle.files)  # before it is put, and once more when all is sure
        key = bundle_key(bundle.digest)
        size = file.stat().st_size
        now = self._parts.clock.now()

        def write(session: Session) -> Pushed:
            self._check_quota(session, who, bundle.digest, bundle.files)
            return register(session, who, bundle, Stored(key, size), alias, now)

        async with self._parts.keys.holding(key):  # else it might be taken for an orphan of an earlier push
            await self._parts.bucket.put(key, file, content_type="application/zip")
            pushed = await self._parts.database.write(write)
        self._nudge()
        return pushed

    async def _check_stored(self, who: Caller, digest: str, files: Sequence[File]) -> None:
        await self._parts.database.read(lambda session: self._check_quota(session, who, digest, files))

    def _check_quota(self, session: Session, who: Caller, digest: str, files: Sequence[File]) -> None:
        quotas.check_stored(session, who.name, digest, sum(one.size for one in files), self._defaults)

    def _look(self, file: Path) -> Checked:
        """Unpack into a folder of its own, check, and remove it again."""
        folder = file.with_suffix("")
        try:
            archive.unpack(file, folder, self._limits, lasting=False)
            return self._check(folder)
        finally:
            disk.remove(folder)

    def _check(self, folder: Path) -> Checked:
        checked = check_bundle(folder, self._limits, everything=True)
        manifest = checked.require()
        warnings = tuple(_told(one) for one in checked.warnings)
        digest = archive.digest(checked.files)
        return Checked(manifest, digest, environment_spec(manifest, folder), warnings, checked.files)


def _told(warning: Problem) -> str:
    """Return a warning as a person reads it; only of a role that is none with what was meant instead."""
    hint = f"; {warning.hint}" if warning.rule == "unknown_role" and warning.hint else ""
    return f"{warning.path}: {warning.message}{hint}"


def _missing(path: str) -> Conflict:
    hint = "ask /api/v1/bundles/plan what is missing, and send it"
    return Conflict(f"{path} is not here", code="files_missing", hint=hint)
