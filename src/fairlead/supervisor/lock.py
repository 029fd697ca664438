"""One keeper per home: an exclusive lock on ``home/lock`` with the holder's pid inside."""

from __future__ import annotations

import fcntl
import os
import select
from pathlib import Path
from types import TracebackType

from fairlead.errors import Conflict


class HomeLock:
    """Held between ``acquire`` and ``release``, or for a ``with`` block; the kernel frees it when the holder dies.

    The descriptor is closed on exec. A child that is only forked would keep the lock: start children by exec.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock; raises :class:`Conflict` ``home_in_use`` with the holder's pid."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = holder_of(self.path)
            os.close(descriptor)
            raise Conflict(
                f"{self.path.parent} is in use by process {holder or '?'}",
                code="home_in_use",
                hint=f"stop it with: fairlead down --home {self.path.parent}; or choose another --home",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> HomeLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder_of(path: Path) -> int | None:
    """Return the pid that stands in the lock's file (its writer may be gone); ``None`` without one."""
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def is_orphaned(path: Path) -> bool:
    """Whether whoever held the lock is gone without having been followed; takes no lock, so that nobody is hindered."""
    pid = holder_of(path)
    if pid is None:
        return False
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:  # of a process that has ended and was not waited for there is still a descriptor: it can be read
        return is_readable(descriptor, 0)
    finally:
        os.close(descriptor)


def is_readable(descriptor: int, seconds: float) -> bool:
    """Whether ``descriptor`` can be read within so many seconds; any number will do, unlike for ``select``."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
