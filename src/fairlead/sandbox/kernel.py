"""Linux's calls that Python has no name for, through libc's ``syscall``."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import lru_cache

MACHINE = platform.machine()
IS_LINUX = sys.platform == "linux"

PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: object) -> int:
    """Return what the system call returned; raises :class:`OSError` with its errno.

    Integers are passed as 64-bit words, the rest as ctypes does it.
    """
    words = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    result = int(_libc().syscall(ctypes.c_long(number), *words))
    if result < 0:
        _fail()
    return result


def prctl(option: int, argument: int) -> None:
    """Raises :class:`OSError`."""
    zero = ctypes.c_ulong(0)
    if _libc().prctl(option, ctypes.c_ulong(argument), zero, zero, zero) != 0:
        _fail()


def unshare(flags: int) -> None:
    """Move into new namespaces; raises :class:`OSError`."""
    if _libc().unshare(flags) != 0:
        _fail()


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """See mount(2); raises :class:`OSError`."""
    encoded = [None if item is None else os.fsencode(item) for item in (source, target, kind, data)]
    if _libc().mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]) != 0:
        _fail(target)


def unmount(target: str, flags: int) -> None:
    """See umount2(2); raises :class:`OSError`."""
    if _libc().umount2(os.fsencode(target), flags) != 0:
        _fail(target)


def pivot_root(new: str, old: str) -> None:
    """See pivot_root(2); raises :class:`OSError`."""
    if _libc().pivot_root(os.fsencode(new), os.fsencode(old)) != 0:
        _fail(new)


def drop_capabilities() -> None:
    """Give up every capability; with ``no_new_privs`` set even root does not get them back on exec. See capset(2)."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    if _libc().capset(header, data) != 0:
        _fail()


def _fail(what: str | None = None) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), what)
