"""Which device takes the place of one that is gone while a run goes on: pure.

A role keeps its type, its major and its number. A device that a schedule named (``--bind``) is never replaced, and one
that was replaced does not get its place back when it returns: it is a spare then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from fairlead.apps.binding import Candidate, Role, Taken, below, fits, is_free


class Swap(msgspec.Struct, frozen=True):
    """One device in the place of another."""

    role: str
    gone: str
    instead: str


class NoSpare(msgspec.Struct, frozen=True):
    """A device is gone, and why nothing takes its place."""

    role: str
    gone: str
    why: str


def replace(
    roles: Sequence[Role],
    place: str,
    bound: Mapping[str, Sequence[str]],
    candidates: Collection[Candidate],
    taken: Mapping[str, Sequence[Taken]],
    *,
    gone: Collection[str],
    there: Collection[str],
    fixed: Collection[str] = (),
) -> tuple[Swap | NoSpare, ...]:
    """Return what becomes of each device of ``bound`` that is ``gone``, in the order of the roles.

    ``taken`` tells what other runs have, ``there`` which devices are online, ``fixed`` which roles a schedule fixed.
    """
    known = {device.id: device for device in candidates}
    here = sorted((one for one in known.values() if below(one.at, place)), key=lambda one: (one.at != place, one.id))
    used: dict[str, list[Role]] = {}
    for role in roles:
        for device in bound.get(role.name, ()):
            used.setdefault(device, []).append(role)
    found: list[Swap | NoSpare] = []
    for role in roles:
        for device in bound.get(role.name, ()):
            if device not in gone:
                continue
            if role.name in fixed:
                found.append(NoSpare(role.name, device, "its schedule names this device (--bind)"))
                continue
            spares = [
                one
                for one in here
                if one.id in there and one.id not in gone and _suits(role, one, known.get(device), taken, used)
            ]
            if spares:
                used.setdefault(spares[0].id, []).append(role)
                found.append(Swap(role.name, device, spares[0].id))
            else:
                found.append(NoSpare(role.name, device, f"no other {role.type} is free and online at {place}"))
    return tuple(found)


def _suits(
    role: Role,
    spare: Candidate,
    before: Candidate | None,
    taken: Mapping[str, Sequence[Taken]],
    used: Mapping[str, Sequence[Role]],
) -> bool:
    """Whether a device may stand for the role: like the one before, free, and of no other role that keeps it."""
    mine = used.get(spare.id, ())
    if not fits(role, spare) or role in mine or (before is not None and before.major != spare.major):
        return False
    shared = not spare.controls or all(role.shared and other.shared for other in mine)
    return is_free(role, spare, taken) and shared
