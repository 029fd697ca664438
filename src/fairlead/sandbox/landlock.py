"""The first lock: Landlock lets the calling thread and all later ones reach only the files that were granted.

Format: linux/landlock.h, https://docs.kernel.org/userspace-api/landlock.html. What an older kernel cannot do is left
out; the ABI is asked first. Threads that run already stay free: apply it before any starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable

from fairlead.sandbox import kernel

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH, _NET_PORT = 1, 2

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_PLAIN = sum(1 << bit for bit in (4, 5, 7, 8, 9))  # remove; make folders, regular files, sockets
_REMOVE_AND_MAKE = _MAKE_PLAIN | (1 << 10) | (1 << 12)  # also FIFOs and symbolic links; no device nodes
_MAKE_DEVICES = (1 << 6) | (1 << 11)
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

READ = READ_FILE | READ_DIR
RUN = READ | EXECUTE
WRITE = READ | WRITE_FILE | TRUNCATE | REFER | _REMOVE_AND_MAKE
WRITE_PLAIN = READ | WRITE_FILE | TRUNCATE | _MAKE_PLAIN
"""Nothing that leads or holds up a program of ours which looks there: no link, no FIFO, none moved in either."""
DEVICE = READ | WRITE_FILE | IOCTL_DEV


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("parent", ctypes.c_int32)]


class _NetPort(ctypes.Structure):
    _fields_ = [("access", ctypes.c_uint64), ("port", ctypes.c_uint64)]


def abi() -> int:
    """Return the kernel's Landlock ABI, 0 without Landlock."""
    if not kernel.IS_LINUX:
        return 0
    try:
        return kernel.syscall(_CREATE, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict(grants: Iterable[tuple[str, int]], *, connect: bool, listen_port: int = 0) -> int:
    """Bind this thread to ``grants`` (path, rights) for good and return the ABI used.

    Paths that are not there, or out of this user's reach, are passed over. ``connect`` leaves outgoing TCP alone;
    listening on TCP is refused but for ``listen_port``. ``no_new_privs`` must be set. Raises :class:`OSError`.
    """
    version = abi()
    if version < 1:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    handled = _handled(version)
    net = 0 if version < 4 else _BIND_TCP | (0 if connect else _CONNECT_TCP)
    scoped = 0 if version < 6 else _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = kernel.syscall(_CREATE, ctypes.byref(_Ruleset(handled, net, scoped)), size, 0)
    try:
        for path, rights in grants:
            _grant(ruleset, path, rights & handled)
        if listen_port and net & _BIND_TCP:
            kernel.syscall(_ADD_RULE, ruleset, _NET_PORT, ctypes.byref(_NetPort(_BIND_TCP, listen_port)), 0)
        kernel.syscall(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _handled(version: int) -> int:
    handled = EXECUTE | WRITE_FILE | READ | _REMOVE_AND_MAKE | _MAKE_DEVICES
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        if version >= since:
            handled |= right
    return handled


def _grant(ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _OF_FILES
        kernel.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(_PathBeneath(rights, parent)), 0)
    finally:
        os.close(parent)
