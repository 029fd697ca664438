"""Which files of stored bundles somebody need not send again: those they have sent themselves.

Seeing a bundle, or knowing the digest of a file in it, gives nobody its content; so neither counts here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from fairlead.bundles.archive import File
from fairlead.store.records import AppVersion, Bundle, BundleFile, ModelVersion

KNOWN_FROM_BYTES = 64 * 1024
"""Smaller files are not written down: sending them costs less."""
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Held:
    """Where the content of a file lies: in the zip of a bundle."""

    bundle: str
    """Digest."""
    key: str
    """In the bucket."""
    path: str
    size: int


def record(session: Session, bundle: str, files: Iterable[File]) -> None:
    """Write down the larger files of a bundle, unless they are."""
    if session.scalars(select(BundleFile.path).where(BundleFile.bundle == bundle).limit(1)).first() is not None:
        return
    session.flush()
    for file in files:
        if file.size >= KNOWN_FROM_BYTES:
            session.add(BundleFile(bundle=bundle, path=file.path, sha256=file.sha256, size=file.size))


def held(session: Session, who: str, wanted: Collection[str]) -> Mapping[str, Held]:
    """Return by SHA-256 where those of ``wanted`` lie that ``who`` has pushed; of few bundles, the newest first."""
    found: dict[str, Held] = {}
    theirs = or_(
        exists().where(ModelVersion.digest == Bundle.digest, ModelVersion.created_by == who),
        exists().where(AppVersion.digest == Bundle.digest, AppVersion.created_by == who),
    )
    ordered = sorted(wanted)
    for start in range(0, len(ordered), _AT_ONCE):
        rows = session.execute(
            select(BundleFile.sha256, BundleFile.bundle, Bundle.key, BundleFile.path, BundleFile.size)
            .join(Bundle, Bundle.digest == BundleFile.bundle)
            .where(BundleFile.sha256.in_(ordered[start : start + _AT_ONCE]), theirs)
            .order_by(Bundle.created_at.desc(), Bundle.digest)
        )
        for content, bundle, key, path, size in rows:
            found.setdefault(content, Held(bundle, key, path, size))
    return found
