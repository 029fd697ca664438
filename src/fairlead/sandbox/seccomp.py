"""The second lock: a seccomp filter closes what Landlock leaves open (other socket families, connecting to Unix
sockets, io_uring, tracing) and what no bundle needs (mounts, namespaces, keys, kernel modules).

It applies to all threads at once (TSYNC). Formats: linux/filter.h, linux/seccomp.h; numbers: the kernel's
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h. Memory that arguments point to cannot be
looked at, so an address of ``connect`` cannot: it is allowed whole or not at all.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Mapping

from fairlead.sandbox import kernel

_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_LOAD, _JEQ, _JGE, _JSET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCH = 0, 4  # offsets in struct seccomp_data
_X32_BIT = 0x40000000

_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _DATAGRAM, _SEQPACKET, _TYPE_MASK = 1, 2, 5, 0xF
_IPPROTO_TCP = 6
_MSG_FASTOPEN = 0x20000000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_CLONE_NAMESPACES = 0x7E020000

_ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NUMBERS: Mapping[str, tuple[int | None, int | None]] = {
    # name: (x86_64, aarch64)
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "clone": (56, 220),
    "clone3": (435, 435),
    "ioctl": (16, 29),
    "seccomp": (317, 277),
}
_DENIED: Mapping[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # ways around a filter of system calls
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # large parts of the kernel that bundles do not need and attacks like
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "modify_ldt": (154, None),
    "lookup_dcookie": (212, 18),
    # the machine
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
}

_Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, constant"""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def is_known(machine: str = kernel.MACHINE) -> bool:
    """Whether a filter can be made for this architecture."""
    return kernel.IS_LINUX and machine in _ARCHES


def restrict(*, unix_connect: bool = False, outbound: bool = False, listen: bool = False) -> None:
    """Apply the filter to every thread of this process, for good. ``no_new_privs`` must be set. Raises ``OSError``."""
    if not is_known():
        raise OSError(errno.ENOSYS, f"no seccomp filter for {kernel.MACHINE}")
    code = assemble(kernel.MACHINE, unix_connect=unix_connect, outbound=outbound, listen=listen)
    memory = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(memory, ctypes.c_void_p))
    number = _number("seccomp", kernel.MACHINE)
    assert number is not None
    failed_thread = kernel.syscall(number, _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(program))
    if failed_thread:
        raise OSError(errno.ESRCH, f"thread {failed_thread} could not be filtered")


def assemble(machine: str, *, unix_connect: bool, outbound: bool, listen: bool) -> bytes:
    """Return the filter as ``struct sock_filter[]``; pure."""
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, _ARCHES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":  # the x32 ABI has the same architecture word and numbers of its own
        program += [(_JGE, 0, 1, _X32_BIT), _refuse(errno.ENOSYS)]
    for name in _DENIED:
        program += _when(name, machine, [_refuse()])
    program += _when("clone3", machine, [_refuse(errno.ENOSYS)])  # its flags lie in memory; libc falls back to clone
    program += _when("clone", machine, [_argument(0), (_JSET, 0, 1, _CLONE_NAMESPACES), _refuse(), _allow()])
    tty = [_argument(1), (_JEQ, 1, 0, _TIOCSTI), (_JEQ, 0, 1, _TIOCLINUX), _refuse(), _allow()]
    program += _when("ioctl", machine, tty)
    if not (unix_connect or outbound):
        program += _when("connect", machine, [_refuse()])
    program += _when("socket", machine, _socket(unix_connect=unix_connect, outbound=outbound, listen=listen))
    if not (unix_connect or outbound):  # a datagram socket sends to any path without connecting
        program += _when("socketpair", machine, _types(_STREAM, _SEQPACKET))
    if listen and not outbound:  # sends data with the SYN, past Landlock's check of connect
        for name, index in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
            fast_open = [_argument(index), (_JSET, 0, 1, _MSG_FASTOPEN), _refuse(), _allow()]
            program += _when(name, machine, fast_open)
    program.append(_allow())
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _socket(*, unix_connect: bool, outbound: bool, listen: bool) -> list[_Instruction]:
    """Which sockets may be made: Unix ones, and TCP (and UDP) where the rules say so; never raw or packet ones."""
    unix = (_STREAM, _DATAGRAM, _SEQPACKET) if unix_connect or outbound else (_STREAM, _SEQPACKET)
    body = _family(_UNIX, _types(*unix))
    if outbound:
        for family in (_INET, _INET6):
            body += _family(family, _types(_STREAM, _DATAGRAM))
        body += _family(_NETLINK, [_argument(2), (_JEQ, 0, 1, 0), _allow(), _refuse()])  # getaddrinfo asks for routes
    elif listen:
        for family in (_INET, _INET6):
            tcp = [_argument(2), (_JEQ, 1, 0, 0), (_JEQ, 0, 1, _IPPROTO_TCP), _allow(), _refuse()]  # not MPTCP
            body += _family(family, [_argument(1), (_AND, 0, 0, _TYPE_MASK), (_JEQ, 1, 0, _STREAM), _refuse(), *tcp])
    return [*body, _refuse()]


def _family(family: int, body: list[_Instruction]) -> list[_Instruction]:
    return [_argument(0), (_JEQ, 0, len(body), family), *body]


def _types(*types: int) -> list[_Instruction]:
    body: list[_Instruction] = [_argument(1), (_AND, 0, 0, _TYPE_MASK)]
    for kind in types:
        body += [(_JEQ, 0, 1, kind), _allow()]
    return [*body, _refuse()]


def _when(name: str, machine: str, body: list[_Instruction]) -> list[_Instruction]:
    """Return ``body`` for system call ``name`` only; it must end in a return. The number is in the accumulator."""
    number = _number(name, machine)
    return [] if number is None else [(_JEQ, 0, len(body), number), *body]


def _number(name: str, machine: str) -> int | None:
    numbers = _NUMBERS[name] if name in _NUMBERS else _DENIED[name]
    return numbers[0 if machine == "x86_64" else 1]


def _argument(index: int) -> _Instruction:
    return (_LOAD, 0, 0, 16 + 8 * index)  # low word: both architectures are little-endian


def _refuse(number: int = errno.EACCES) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def _allow() -> _Instruction:
    return (_RETURN, 0, 0, _ALLOW)
