"""Puts a bundle together from files that were sent and files of bundles that the same person pushed before."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead.buckets.port import Bucket
from fairlead.bundles import archive, disk
from fairlead.bundles.archive import File
from fairlead.bundles.limits import Limits
from fairlead.control.contents import Held
from fairlead.errors import Invalid


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the content of each file comes from, by SHA-256; all of a bundle's files are in one of the two."""

    sent: Mapping[str, Path]
    held: Mapping[str, Held]

    @property
    def bundles(self) -> dict[str, str]:
        """Digest to key in the bucket of the bundles that files are taken from."""
        return {one.bundle: one.key for one in self.held.values()}


async def assemble(files: Sequence[File], sources: Sources, bucket: Bucket, folder: Path, limits: Limits) -> None:
    """Write ``files`` to the new ``folder``. What they hold is not believed: whoever looks into it sums it up.

    One archive at a time is fetched beside it. Raises :class:`Invalid` (``bundle_corrupt``) where one is not what it
    was, and :class:`fairlead.errors.NotFound` (``blob_missing``) where it is gone.
    """
    await asyncio.to_thread(_place_sent, files, sources.sent, folder)
    for bundle, key in sources.bundles.items():
        zipped = folder.with_name(f"{folder.name}.{bundle[:12]}.zip")
        try:
            with await asyncio.to_thread(zipped.open, "wb") as target:
                async for block in bucket.stream(key):
                    await asyncio.to_thread(target.write, block)
            wanted = {content: one.path for content, one in sources.held.items() if one.bundle == bundle}
            await asyncio.to_thread(_take_out, zipped, wanted, files, folder, limits)
        finally:
            zipped.unlink(missing_ok=True)


def _place_sent(files: Sequence[File], sent: Mapping[str, Path], folder: Path) -> None:
    """Have the files that were sent in ``folder``: as other names of what lies there, where that is possible."""
    folder.mkdir(mode=0o700)
    linked: set[str] = set()
    for file in files:
        if (source := sent.get(file.sha256)) is None:
            continue
        target = _ready(folder, file)
        if file.sha256 in linked:  # its mode may be another
            shutil.copyfile(source, target)
        else:
            os.link(source, target)
            linked.add(file.sha256)
        target.chmod(0o555 if file.executable else 0o444)


def _take_out(zipped: Path, wanted: Mapping[str, str], files: Sequence[File], folder: Path, limits: Limits) -> None:
    """Write those of ``files`` whose content is ``wanted`` (SHA-256 to path in the archive ``zipped``)."""
    try:
        entries = {entry.path: entry for entry in archive.examine(zipped, limits)}
        with zipped.open("rb") as source:
            for file in files:
                if file.sha256 not in wanted:
                    continue
                target = _ready(folder, file)
                archive.write(source, entries[wanted[file.sha256]], target)
                target.chmod(0o555 if file.executable else 0o444)
    except (Invalid, KeyError) as error:
        raise Invalid(
            "an earlier bundle that this one shares files with was changed in the bucket",
            code="bundle_corrupt",
            hint="send the whole archive: it does not need the earlier one",
        ) from error


def _ready(folder: Path, file: File) -> Path:
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def remove(folder: Path) -> None:
    """Remove ``folder`` and what lies beside it for its sake."""
    disk.remove(folder)
    for leftover in folder.parent.glob(f"{folder.name}.*"):
        leftover.unlink(missing_ok=True)
