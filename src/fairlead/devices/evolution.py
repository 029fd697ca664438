"""What a newer version of a device type may not take from those of the same major: apps and devices rely on it. Pure.

Roles name a type and its major, and a device may be given any version of its major: what one version promises, each
later one of the major keeps. More may come; what is taken away or means something else wants a new major (semver.org).
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.devices.types import DeviceType, Property
from fairlead.errors import Problem

_SAME = ("type", "unit", "contentMediaType")
"""Keys of a schema that say what a value means."""


def broken(older: DeviceType, newer: DeviceType) -> tuple[Problem, ...]:
    """Return what ``newer`` does not keep of ``older``, a version of the same major."""
    return tuple(_broken(older, newer))


def _broken(older: DeviceType, newer: DeviceType) -> Iterator[Problem]:
    was = f"{older.name}@{older.version}"
    for group in ("properties", "events"):
        now: dict[str, Property] = getattr(newer, group)
        for name, before in getattr(older, group).items():
            path, after = f"{group}.{name}", now.get(name)
            if after is None:
                yield Problem(path, "removed", f"{was} has it, and this version has it no more")
                continue
            if after.access != before.access:
                yield Problem(f"{path}.access", "changed", f"is {before.access} in {was} and {after.access} here")
            for key in _SAME:
                if before.schema.get(key) != after.schema.get(key):
                    said = (
                        f"is {before.schema.get(key) or 'nothing'} in {was}, {after.schema.get(key) or 'nothing'} here"
                    )
                    yield Problem(f"{path}.{key}", "changed", said)
