"""Decides whose memory is whose, and who has too much. Pure but for :func:`look`.

What the replicas of a version share with the zygote that they were forked from is divided among them: the zygote itself
is nobody's, so its part, and that of what left its replica's family, is charged to all replicas alike. The charges of
all replicas together are then exactly what the version holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fairlead.supervisor import proc

ALL = ""
"""In place of a replica: what is not one replica's."""
LOOSE = "*"
"""In place of a replica: what left its family, and is known by its user alone."""
_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Bounded:
    """A version, or a run, whose processes are bounded."""

    name: str
    """Of its zygote, or of the run."""
    limit_bytes: int
    """Of each replica, or of the run."""
    roots: tuple[int, ...]
    """Processes that are not one replica's: the zygote, or those of the run."""
    replicas: Mapping[str, int]
    """Pid by replica; a run has none."""


class Process(NamedTuple):
    """A process as it was seen."""

    parent: int
    session: int
    uid: int
    start_time: int
    """Tells a process from another that got its number later."""


@dataclass(frozen=True, slots=True)
class Over:
    """Who holds too much."""

    name: str
    replica: str
    """``ALL``: all of it."""
    bytes: int
    limit_bytes: int
    pids: tuple[int, ...]

    @property
    def said(self) -> str:
        """What it did, for whoever owns it."""
        return (
            f"its processes held {self.bytes / 1024**2:.0f} MB of memory, more than memory_mb = "
            f"{self.limit_bytes / 1024**2:.0f}"
        )


Members = dict[tuple[str, str], list[int]]
"""Pids by bounded thing and replica, ``ALL`` or ``LOOSE``."""


def look(bounded: Sequence[Bounded]) -> dict[int, Process]:
    """Return the processes of the users that these run as."""
    roots = {pid for one in bounded for pid in (*one.roots, *one.replicas.values())}
    uids = {uid for pid in roots if (uid := proc.uid_of(pid)) is not None}
    seen = {}
    for pid in proc.pids() if uids else ():
        uid = proc.uid_of(pid)
        found = proc.stat(pid) if uid in uids else None
        if uid is not None and found is not None and found.state not in "ZX":
            seen[pid] = Process(found.parent, found.session, uid, found.start_time)
    return seen


def members(bounded: Sequence[Bounded], seen: Mapping[int, Process], *, platform: int, user: int) -> Members:
    """Return which process is whose: its nearest forebear's, its session's, else that of whoever has its user.

    ``platform``: our own pid, ``user``: our own user; nothing that is below us by another way is counted.
    """
    owner = {pid: (one.name, ALL) for one in bounded for pid in one.roots}
    owner |= {pid: (one.name, replica) for one in bounded for replica, pid in one.replicas.items()}
    users = {seen[pid].uid: name for pid, (name, _) in owner.items() if pid in seen and seen[pid].uid != user}
    found: Members = {}
    for pid, process in seen.items():
        whose = _forebear(pid, seen, owner, platform)
        if whose is None and process.uid in users:
            whose = (users[process.uid], LOOSE)
        if whose is not None:
            found.setdefault(whose, []).append(pid)
    return found


def _forebear(
    pid: int, seen: Mapping[int, Process], owner: Mapping[int, tuple[str, str]], platform: int
) -> tuple[str, str] | None:
    """Return whose a process is by birth; ``("", ALL)``, nobody's here, where it is of another family of ours."""
    for _ in range(_DEPTH):
        if pid in owner:
            return owner[pid]
        if pid == platform:
            return ("", ALL)
        process = seen.get(pid)
        if process is None:
            return None
        if process.session in owner:
            return owner[process.session]
        pid = process.parent
    return None


def over(
    bounded: Iterable[Bounded], found: Members, held: Callable[[int], int], share: Callable[[int], int]
) -> list[Over]:
    """Return who has too much. ``held`` is cheap and never less than ``share``, which is asked only near a bound."""
    return [one for each in bounded for one in _over(each, found, held, share)]


def _over(one: Bounded, found: Members, held: Callable[[int], int], share: Callable[[int], int]) -> list[Over]:
    loose = found.get((one.name, LOOSE), [])
    common = [*found.get((one.name, ALL), []), *loose]
    own = {replica: pids for replica in one.replicas if (pids := found.get((one.name, replica), []))}
    each = max(1, len(own))
    most_common = sum(map(held, common))
    near = [name for name, pids in own.items() if sum(map(held, pids)) + most_common / each > one.limit_bytes]
    if most_common <= one.limit_bytes and not near:
        return []
    shared = sum(map(share, common))
    if shared > one.limit_bytes:
        everybody = (*common, *(pid for pids in own.values() for pid in pids))
        return [Over(one.name, ALL, shared, one.limit_bytes, everybody)]
    charges = {name: sum(map(share, own[name])) + shared // each for name in near}
    # what is loose goes too: nobody else would end it, and the next replica would be charged for it
    return [
        Over(one.name, name, charge, one.limit_bytes, (*own[name], *loose))
        for name, charge in charges.items()
        if charge > one.limit_bytes
    ]
