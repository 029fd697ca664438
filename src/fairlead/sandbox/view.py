"""A file tree in which only the granted paths exist, made of bind mounts in a mount namespace of its own.

Landlock decides what may be opened; this also hides names, sizes and sockets, and makes the bundle's files reachable
for a user id that could not pass the folders above them (a home of mode 0700). The order of mounts is that of
pivot_root(2), "pivot_root(".", ".")".
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable

from fairlead.sandbox import kernel

_NEWNS, _NEWIPC, _NEWUSER, _NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x40000000
_NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE, _READ_ONLY = 2, 4, 8, 32, 4096, 16384, 1 << 18, 1
_DETACH = 2
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
_ATTR_READ_ONLY, _ATTR_NOSUID = 1, 2
_OLD, _NEW = "/old", "/new"
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a tmpfs of our own
_LINKS_FOLLOWED = 40


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def enter(read_only: Iterable[str], writable: Iterable[str], *, own_network: bool, own_proc: bool) -> bool:
    """Move this process into a tree of these paths only; returns whether ``/proc`` there shows only its own user.

    Shared memory and System V IPC are its own; so is the network unless it needs the machine's. ``own_proc``: mount a
    ``/proc`` that hides other users' processes. The process must have one thread. Raises :class:`OSError`.
    """
    is_root = os.geteuid() == 0
    os.umask(0o022)  # what is made on the way is passed through as another user
    if not is_root:
        _become_root_inside()
    kernel.unshare(_NEWNS | _NEWIPC | (_NEWNET if own_network else 0))
    kernel.mount(None, "/", None, _REC | _PRIVATE)
    kernel.mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, "mode=0755,size=4m")  # noqa: S108 - a place to stand on
    for folder in (_OLD, _NEW):
        os.mkdir("/tmp" + folder, 0o755)  # noqa: S108
    kernel.pivot_root("/tmp", "/tmp" + _OLD)  # noqa: S108
    os.chdir("/")
    kernel.mount("tmpfs", _NEW, "tmpfs", _NOSUID, "mode=0755,size=4m")
    shows = {**{path: True for path in read_only}, **{path: False for path in writable}}
    bound: dict[str, bool] = {}
    for path in sorted(shows, key=lambda path: path.count("/")):
        if not path.startswith("/proc/"):
            _show(path, shows[path], bound)
    private_proc = own_proc and is_root and _mount_proc()
    if not private_proc:
        _show("/proc", False, bound)
    _folder(_NEW + _SHARED_MEMORY)
    kernel.mount("tmpfs", _NEW + _SHARED_MEMORY, "tmpfs", _NOSUID | _NODEV | _NOEXEC, "mode=1777,size=256m")
    kernel.unmount(_OLD, _DETACH)
    os.chdir(_NEW)
    kernel.pivot_root(".", ".")
    kernel.unmount(".", _DETACH)
    os.chdir("/")
    kernel.mount(None, "/", None, _REMOUNT | _READ_ONLY | _NOSUID)
    return private_proc


def _become_root_inside() -> None:
    """Enter a user namespace in which this user keeps its id and holds the right to mount."""
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _mount_proc() -> bool:
    target = _NEW + "/proc"
    _folder(target)
    try:
        kernel.mount("proc", target, "proc", _NOSUID | _NODEV | _NOEXEC, "hidepid=2")
    except OSError:  # a container may forbid it
        return False
    return True


def _show(path: str, read_only: bool, bound: dict[str, bool]) -> None:
    """Make ``path`` appear in the new tree; one that is not there is passed over."""
    real = _resolve(path)
    if real is None or _is_shown(real, read_only, bound):
        return
    source, target = _OLD + real, _NEW + real
    if os.path.isdir(source):
        _folder(target)
    else:
        _folder(os.path.dirname(target))
        if not os.path.exists(target):
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    kernel.mount(source, target, None, _BIND | _REC)
    attributes = _MountAttributes(_ATTR_NOSUID | (_ATTR_READ_ONLY if read_only else 0), 0, 0, 0)
    size = ctypes.sizeof(attributes)
    with contextlib.suppress(OSError):  # before Linux 5.12; Landlock refuses the writing all the same
        kernel.syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, ctypes.byref(attributes), size)
    bound[real] = read_only


def _is_shown(real: str, read_only: bool, bound: dict[str, bool]) -> bool:
    """Whether a folder above ``real`` is there already with the same right or more."""
    parts = real.split("/")
    above = ("/".join(parts[:length]) for length in range(2, len(parts) + 1))
    return any(folder in bound and (read_only or not bound[folder]) for folder in above)


def _resolve(path: str) -> str | None:
    """Return where ``path`` leads in the old tree; makes the same symbolic links in the new one on the way."""
    real, rest = "", [part for part in os.path.normpath(path).split("/") if part]
    for _ in range(_LINKS_FOLLOWED * 8):
        if not rest:
            return real or None
        here = f"{real}/{rest.pop(0)}"
        if os.path.islink(_OLD + here):
            text = os.readlink(_OLD + here)
            if not os.path.lexists(_NEW + here):
                _folder(_NEW + real)
                os.symlink(text, _NEW + here)
            joined = os.path.normpath(os.path.join(real or "/", text))
            real, rest = "", [part for part in joined.split("/") if part] + rest
        elif not os.path.lexists(_OLD + here):
            return None
        else:
            real = here
    return None


def _folder(path: str) -> None:
    os.makedirs(path, mode=0o755, exist_ok=True)
