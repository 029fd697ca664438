"""A bundle that was checked and lies in the bucket: what models and apps are registered from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from fairlead.bundles.manifest import AppManifest, ModelManifest
from fairlead.messages import EnvironmentSpec
from fairlead.store.records import Bundle

M = TypeVar("M", bound=ModelManifest | AppManifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed(Generic[M]):
    """A bundle without faults."""

    manifest: M
    digest: str
    size_bytes: int
    """Of its zip."""
    key: str
    """Of its zip in the bucket."""
    environment: EnvironmentSpec
    warnings: tuple[str, ...] = ()

    def record(self, by: str, now: datetime) -> Bundle:
        """Return the record of what lies in the bucket."""
        return Bundle(
            digest=self.digest,
            kind="model" if isinstance(self.manifest, ModelManifest) else "app",
            name=self.manifest.name,
            size_bytes=self.size_bytes,
            key=self.key,
            created_by=by,
            created_at=now,
        )
