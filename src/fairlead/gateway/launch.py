"""Run as a script, with the arguments of Envoy: becomes Envoy, and one that outlives whoever started it.

Envoy 1.40 asks the kernel to be told to stop when its parent dies (``prctl(PR_SET_PDEATHSIG, SIGTERM)``, seen with
strace); a killed keeper would take every open connection with it. A seccomp filter answers that one request with
success and no effect. Other calls are let through unlooked at: the kernel keeps a bitmap of those. Standard library
only, and no import of ours: this runs at each start of the front door, and should take no time.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4  # else kernels before 5.16 slow the whole process down
_SYSCALLS = {"x86_64": (157, 317), "aarch64": (167, 277)}  # prctl, seccomp
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/filter.h
_SUCCESS, _ALLOW = 0x0005_0000, 0x7FFF_0000  # errno 0; linux/seccomp.h


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def _outlive_parent() -> None:
    if sys.platform != "linux" or platform.machine() not in _SYSCALLS:
        return
    prctl, seccomp = _SYSCALLS[platform.machine()]
    lines = (
        (_LOAD, 0, 0, 0),  # number of the call
        (_IF_EQUAL, 0, 3, prctl),
        (_LOAD, 0, 0, 16),  # its first argument
        (_IF_EQUAL, 0, 1, _PR_SET_PDEATHSIG),
        (_RETURN, 0, 0, _SUCCESS),
        (_RETURN, 0, 0, _ALLOW),
    )
    program = _Program(len(lines), b"".join(struct.pack("HBBI", *line) for line in lines))
    libc = ctypes.CDLL(None, use_errno=True)
    refused = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(
        seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_SPEC_ALLOW, ctypes.byref(program)
    )
    if refused:  # it works all the same, but ends with its parent
        sys.stderr.write(f"front door: no seccomp filter: {os.strerror(ctypes.get_errno())}\n")


if __name__ == "__main__":
    _outlive_parent()
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - an argument vector, no shell
