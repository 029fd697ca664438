"""Types of devices that come with the platform: every installation has them."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from importlib import resources

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.devices import definitions, registry, types
from fairlead.store.records import DeviceType

PLATFORM = ""
"""Who registered what came with the platform: nobody."""


@cache
def all_types() -> tuple[tuple[str, types.DeviceType], ...]:
    """Return the types that every installation has: each as TOML, and what that says."""
    folder = resources.files("fairlead.devices") / "builtin"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    sources = [file.read_text(encoding="utf-8") for file in found]
    return tuple((source, definitions.parse(source)) for source in sources)


def missing(session: Session) -> tuple[str, ...]:
    """Return the sources of the built-in types that are not there; a name that people gave to types stays theirs."""
    there: dict[str, dict[str, str]] = {}
    for name, version, by in session.execute(select(DeviceType.name, DeviceType.version, DeviceType.created_by)):
        there.setdefault(name, {})[version] = by
    found = []
    for source, kind in all_types():
        versions = there.get(kind.name, {})
        taken = bool(versions) and PLATFORM not in versions.values()
        if not taken and kind.version not in versions:
            found.append(source)
    return tuple(found)


def add_missing(session: Session, now: datetime) -> None:
    """Register the built-in types that :func:`missing` returns."""
    for source in missing(session):
        registry.add_type(session, source, now, by=PLATFORM, keeps=False)


def is_builtin(record: DeviceType) -> bool:
    """Whether ``record`` came with the platform, which has it still."""
    known = {(kind.name, kind.version) for _, kind in all_types()}
    return record.created_by == PLATFORM and (record.name, record.version) in known
