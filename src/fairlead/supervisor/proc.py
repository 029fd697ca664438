"""What ``/proc`` tells of processes. Format: proc(5)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
STOPPED = "T"
"""State of a process that SIGSTOP or a terminal stopped; one that is debugged has another."""

ON_DISK = "D"
"""State of a process that waits for a disk: a file that comes slowly, swap."""


_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """The fields of ``/proc/<pid>/stat`` that we use."""

    state: str
    """One letter; Z is a zombie."""
    parent: int
    session: int
    start_time: int
    """Clock ticks from boot to the start of the process: with the boot id it tells a reused pid."""
    cpu_s: float = 0.0
    """Processor time of all its threads."""


def stat(pid: int) -> Stat | None:
    """Return what is known of ``pid``; ``None`` when there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name is in parentheses and may hold spaces and parentheses itself; field 3 follows the last one.
    fields = text.rpartition(")")[2].split()
    return Stat(
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        start_time=int(fields[19]),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
    )


def waited_s(pid: int) -> float:
    """Return how long the threads of ``pid`` that live were ready to run and had no processor; 0 when it is gone or the
    kernel does not count it. Format: sched-stats."""
    waited = 0
    try:
        for task in (PROC / str(pid) / "task").iterdir():
            waited += int((task / "schedstat").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return waited / 1e9
    return waited / 1e9


def start_time(pid: int) -> int | None:
    """Return when ``pid`` started; ``None`` when it is gone or a zombie, which nobody may ever reap in a container."""
    found = stat(pid)
    return None if found is None or found.state in "ZX" else found.start_time


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def pids() -> Iterator[int]:
    """Yield every process that this one can see."""
    for entry in os.scandir(PROC):
        if entry.name.isdigit():
            yield int(entry.name)


def session_members(session: int) -> tuple[int, ...]:
    """Return the living processes of a session, its leader among them."""
    members = []
    for pid in pids():
        found = stat(pid)
        if found is not None and found.session == session and found.state not in "ZX":
            members.append(pid)
    return tuple(members)


def uid_of(pid: int) -> int | None:
    """Return the user id of a process; ``None`` when it is gone."""
    try:
        return (PROC / str(pid)).stat().st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None


def environ(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with; empty when it is gone or not ours to read."""
    try:
        data = (PROC / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    pairs = (os.fsdecode(item).partition("=") for item in data.split(b"\0") if item)
    return {key: value for key, _, value in pairs}


def memory_mb(pid: int) -> float:
    """Return the memory of a process: pages that it shares are counted in part (proportional set), so that the sum over
    processes is what they take together. All that is resident where the kernel does not tell; 0 when it is gone."""
    try:
        return _field(PROC / str(pid) / "smaps_rollup", "Pss:") / 1024
    except (OSError, LookupError):
        pass
    try:
        return _field(PROC / str(pid) / "status", "VmRSS:") / 1024
    except (OSError, LookupError):
        return 0.0


def _field(file: Path, name: str) -> int:
    """Return the number after ``name`` in a file of lines ``name number kB``; raises :class:`LookupError`."""
    for line in file.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise LookupError(name)


def machine_memory_mb() -> float:
    """Return the memory of this machine, or what its control group may have of it. Format: cgroup-v2."""
    total = _field(PROC / "meminfo", "MemTotal:") / 1024
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(file).read_text(encoding="ascii")) / 1024**2)
        except (OSError, ValueError):  # not there, or "max"
            continue
    return total
