"""Which devices stand for the roles of an app at a place: pure.

Free devices that are online before stale ones, and these before those that are away; among them in the order of their
ids, those of the place itself first, then those below it. Sensors are always shared. A controller is one run's alone in
its window, unless every app that wants it says ``shared``. A role of tier ``safety`` takes no device from anyone and is
kept from none: the arbiter lets it win. Roles get their least number in the order of the manifest before any gets more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fairlead.errors import Problem

STALE, AWAY = 1, 2


class Role(msgspec.Struct, frozen=True):
    """What an app asks for under one name."""

    name: str
    type: str
    major: int | None = None
    least: int = 1
    most: int | None = 1
    """None: as many as there are."""
    shared: bool = False
    tier: str = "app"


class Candidate(msgspec.Struct, frozen=True):
    """A device that is registered and not retired."""

    id: str
    type: str
    major: int
    at: str
    controls: bool
    """It has a property that can be set."""
    away: int = 0
    """0: it is online, ``STALE`` or ``AWAY``: of two that fit the lower is taken."""


class Taken(msgspec.Struct, frozen=True):
    """Who has a device in the window in question."""

    by: str
    shared: bool
    until: str = ""
    """End of its window as people read it; empty: until it is stopped."""


class Binding(msgspec.Struct, frozen=True):
    """The outcome: devices by role, or every reason why not."""

    roles: dict[str, tuple[str, ...]]
    problems: tuple[Problem, ...] = ()


def below(at: str, place: str) -> bool:
    """Whether ``at`` is ``place`` or lies in it."""
    return at == place or at.startswith(f"{place}/")


def bind(
    roles: Sequence[Role],
    place: str,
    candidates: Iterable[Candidate],
    taken: Mapping[str, Sequence[Taken]],
    wishes: Mapping[str, Sequence[str]],
) -> Binding:
    """Return the devices for each role; ``wishes`` names those that a schedule fixed (``--bind``)."""
    known = {device.id: device for device in candidates}
    here = sorted((device for device in known.values() if below(device.at, place)), key=lambda d: (d.at != place, d.id))
    found: dict[str, tuple[str, ...]] = {}
    problems = [
        Problem(
            f"bind.{name}", "unknown_role", "the app has no such role", f"its roles: {_join(r.name for r in roles)}"
        )
        for name in wishes
        if name not in {role.name for role in roles}
    ]
    used: dict[str, list[Role]] = {}
    for role in roles:
        if role.name in wishes:
            problems += _wished(role, wishes[role.name], known, taken)
            found[role.name] = tuple(wishes[role.name])
            _use(used, role, found[role.name])
    open_roles = [role for role in roles if role.name not in wishes]
    pools = {role.name: _pool(role, here, taken) for role in open_roles}
    for role in open_roles:
        got = _pick(role, pools[role.name], used, role.least)
        if len(got) < role.least:
            problems.append(_missing(role, place, here, taken, len(got)))
        found[role.name] = got
        _use(used, role, got)
    for role in open_roles:
        room = None if role.most is None else role.most - len(found[role.name])
        more = _pick(role, pools[role.name], used, room, besides=found[role.name])
        found[role.name] = tuple(device.id for device in here if device.id in {*found[role.name], *more})
        _use(used, role, more)
    return Binding({role.name: found[role.name] for role in roles}, tuple(problems))


def _join(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _use(used: dict[str, list[Role]], role: Role, devices: Iterable[str]) -> None:
    for device in devices:
        used.setdefault(device, []).append(role)


def fits(role: Role, device: Candidate) -> bool:
    return device.type == role.type and role.major in (None, device.major)


def is_free(role: Role, device: Candidate, taken: Mapping[str, Sequence[Taken]]) -> bool:
    if not device.controls or role.tier == "safety":
        return True
    return all(role.shared and other.shared for other in taken.get(device.id, ()))


def _pool(role: Role, here: Sequence[Candidate], taken: Mapping[str, Sequence[Taken]]) -> tuple[Candidate, ...]:
    """Return the free devices of the newest major that has enough, best of such as are there; a role's devices are all
    of one major."""
    free = [device for device in here if fits(role, device) and is_free(role, device, taken)]
    majors = sorted({device.major for device in free}, reverse=True)
    enough = [major for major in majors if sum(device.major == major for device in free) >= role.least]
    there = [
        major for major in enough if sum(device.major == major and device.away < AWAY for device in free) >= role.least
    ]
    chosen = next(iter(there or enough or majors), None)
    return tuple(sorted((device for device in free if device.major == chosen), key=lambda device: device.away))


def _pick(
    role: Role,
    pool: Sequence[Candidate],
    used: Mapping[str, Sequence[Role]],
    room: int | None,
    besides: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return up to ``room`` devices that no other role of the app keeps for itself."""
    free = [
        device
        for device in pool
        if device.id not in besides
        and (not device.controls or all(role.shared and other.shared for other in used.get(device.id, ())))
    ]
    # Devices that no role has yet come first: two shared roles get two devices where there are two that are there.
    free.sort(key=lambda device: (device.away == AWAY, bool(used.get(device.id))))
    return tuple(device.id for device in (free if room is None else free[: max(0, room)]))


def _wished(
    role: Role, wished: Sequence[str], known: Mapping[str, Candidate], taken: Mapping[str, Sequence[Taken]]
) -> Iterable[Problem]:
    path = f"bind.{role.name}"
    if len(wished) < role.least or (role.most is not None and len(wished) > role.most):
        yield Problem(path, "count", f"{len(wished)} devices, the app wants {_count(role)}")
    for name in wished:
        device = known.get(name)
        if device is None:
            yield Problem(path, "device_not_found", f"there is no device {name}", "see fairlead devices")
        elif not fits(role, device):
            yield Problem(path, "type", f"{name} is a {device.type}@{device.major}, not a {_type(role)}")
        elif not is_free(role, device, taken):
            yield Problem(path, "device_taken", f"{name} is held by {_held(taken[name][0])}", "another device or time")


def _count(role: Role) -> str:
    if role.most == role.least:
        return str(role.least)
    return f"{role.least} or more" if role.most is None else f"{role.least} to {role.most}"


def _type(role: Role) -> str:
    return role.type if role.major is None else f"{role.type}@{role.major}"


def _missing(
    role: Role, place: str, here: Sequence[Candidate], taken: Mapping[str, Sequence[Taken]], got: int
) -> Problem:
    of_type = [device for device in here if fits(role, device)]
    busy = [device for device in of_type if not is_free(role, device, taken)]
    needs = f"{role.name} needs {_count(role)} {_type(role)} at {place}"
    add = f"fairlead devices add ID --type {_type(role)} --at {place}"
    if not of_type:
        return Problem(f"devices.{role.name}", "not_bindable", f"{needs}; there is none", add)
    if not busy:
        message = f"{needs}; there {_are(len(of_type))}, {got} of them free and alike"
        return Problem(f"devices.{role.name}", "not_bindable", message, add)
    held = ", ".join(f"{device.id} by {_held(taken[device.id][0])}" for device in busy)
    message = f"{needs}; of {len(of_type)}, {_are(len(busy))} held: {held}"
    return Problem(
        f"devices.{role.name}", "not_bindable", message, "another time, or apps that share it (shared = true)"
    )


def _are(count: int) -> str:
    return f"{count} is" if count == 1 else f"{count} are"


def _held(by: Taken) -> str:
    return f"{by.by} until {by.until or 'it is stopped'}"
