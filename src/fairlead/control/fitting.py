"""Decides what of a wanted state can be sent: a version or a run that no message carries is left out, not all. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from fairlead.messages import AppWanted, NodeWanted, RunWanted, VersionWanted, encode

WANTED_MAX_BYTES = 128 * 1024**2
"""All that a node may be told; above it the longest versions and runs are left out."""
_Item = VersionWanted | RunWanted | AppWanted
_FAULTS = (OverflowError, RecursionError, ValueError, TypeError, msgspec.MsgspecError)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A version, run or app that its node is not told of. ``model``: empty for the others."""

    what: str
    why: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is sent; ``digest`` tells whether it says something new."""

    wanted: NodeWanted
    digest: str
    left_out: tuple[LeftOut, ...] = ()


def fit(wanted: NodeWanted) -> Fitted:
    """Return ``wanted`` as it can be sent; nearly always that is all of it."""
    try:
        data = encode(wanted)
    except _FAULTS:
        data = b""
    if 0 < len(data) <= WANTED_MAX_BYTES:
        return Fitted(wanted, hashlib.sha256(data).hexdigest())
    left_out = tuple(_culprits(wanted))
    names = {one.what for one in left_out}
    fitting = msgspec.structs.replace(
        wanted,
        versions=tuple(one for one in wanted.versions if _name(one) not in names),
        runs=tuple(one for one in wanted.runs if _name(one) not in names),
        apps=tuple(one for one in wanted.apps if _name(one) not in names),
    )
    return Fitted(fitting, hashlib.sha256(encode(fitting)).hexdigest(), left_out)


def _culprits(wanted: NodeWanted) -> Iterator[LeftOut]:
    items: list[_Item] = [*wanted.versions, *wanted.runs, *wanted.apps]
    sizes: list[tuple[int, _Item]] = []
    for item in items:
        try:
            sizes.append((len(msgspec.msgpack.encode(item)), item))
        except _FAULTS as error:
            yield _left_out(item, f"it holds what cannot be sent: {str(error)[:200]}")
    total = sum(size for size, _ in sizes)
    for size, item in sorted(sizes, key=lambda one: one[0], reverse=True):
        if total <= WANTED_MAX_BYTES // 2:  # the rest is for routes, tokens and devices
            break
        total -= size
        yield _left_out(item, f"it takes {size / 1e6:.1f} MB of what one machine can be told")


def _left_out(item: _Item, why: str) -> LeftOut:
    return LeftOut(_name(item), why, item.spec.name if isinstance(item, VersionWanted) else "")


def _name(item: _Item) -> str:
    match item:
        case VersionWanted():
            return f"{item.spec.name}@{item.spec.version}"
        case RunWanted():
            return item.run
        case _:
            return f"{item.app}@{item.version}"
