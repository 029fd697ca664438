"""The filter, run by a small interpreter of classic BPF: what it answers for both architectures."""

from __future__ import annotations

import errno
import struct

import pytest

from fairlead.sandbox import seccomp

ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL = 0x7FFF0000, 0x80000000
INET, UNIX, STREAM, DATAGRAM = 2, 1, 1, 2


def refused(number: int = errno.EACCES) -> int:
    return 0x00050000 | number


def answer(machine: str, name: str | int, *arguments: int, arch: int | None = None, **rules: bool) -> int:
    number = seccomp._number(name, machine) if isinstance(name, str) else name
    assert number is not None
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, arch or ARCHES[machine], 0, *words)
    options = {"unix_connect": False, "outbound": False, "listen": False, **rules}
    program = list(struct.iter_unpack("=HBBI", seccomp.assemble(machine, **options)))
    accumulator = position = 0
    while True:
        code, if_true, if_false, constant = program[position]
        position += 1
        match code:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, constant)[0]
            case 0x54:
                accumulator &= constant
            case 0x15:
                position += if_true if accumulator == constant else if_false
            case 0x35:
                position += if_true if accumulator >= constant else if_false
            case 0x45:
                position += if_true if accumulator & constant else if_false
            case 0x06:
                return int(constant)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


@pytest.fixture(params=list(ARCHES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_other_architectures_are_killed(machine: str) -> None:
    assert answer(machine, "connect", arch=0x40000003) == KILL


def test_sockets_are_unix_streams_only(machine: str) -> None:
    assert answer(machine, "socket", UNIX, STREAM | 0o2004000) == ALLOW
    assert answer(machine, "socket", UNIX, DATAGRAM) == refused()
    assert answer(machine, "socket", INET, STREAM) == refused()
    assert answer(machine, "connect") == refused()


def test_an_app_connects_to_unix_sockets_only(machine: str) -> None:
    assert answer(machine, "connect", unix_connect=True) == ALLOW
    assert answer(machine, "socket", UNIX, DATAGRAM, unix_connect=True) == ALLOW
    assert answer(machine, "socket", INET, STREAM, unix_connect=True) == refused()


def test_outbound_has_tcp_and_udp_but_nothing_raw(machine: str) -> None:
    for family in (INET, 10):
        assert answer(machine, "socket", family, STREAM, outbound=True) == ALLOW
        assert answer(machine, "socket", family, DATAGRAM, outbound=True) == ALLOW
        assert answer(machine, "socket", family, 3, outbound=True) == refused()
    assert answer(machine, "socket", 16, 3, 0, outbound=True) == ALLOW
    assert answer(machine, "socket", 16, 3, 12, outbound=True) == refused()
    assert answer(machine, "socket", 17, 3, outbound=True) == refused()


def test_a_page_has_plain_tcp_and_no_fast_open(machine: str) -> None:
    assert answer(machine, "socket", INET, STREAM, 6, listen=True) == ALLOW
    assert answer(machine, "socket", INET, STREAM, 262, listen=True) == refused()
    assert answer(machine, "socket", INET, DATAGRAM, listen=True) == refused()
    assert answer(machine, "sendto", 3, 0, 0, 0x20000000, listen=True) == refused()
    assert answer(machine, "sendto", 3, 0, 0, 0, listen=True) == ALLOW


def test_every_denied_call_is_refused_and_common_ones_are_not(machine: str) -> None:
    for name in seccomp._DENIED:
        if seccomp._number(name, machine) is not None:
            assert answer(machine, name) == refused(), name
    for number in {"x86_64": (0, 1, 9, 202, 231, 257), "aarch64": (56, 63, 64, 98, 222)}[machine]:
        assert answer(machine, number) == ALLOW


def test_new_namespaces_are_refused_and_threads_are_not(machine: str) -> None:
    assert answer(machine, "clone", 0x003D0F00) == ALLOW
    assert answer(machine, "clone", 0x10000000) == refused()
    assert answer(machine, "clone3") == refused(errno.ENOSYS)


def test_the_x32_abi_is_refused() -> None:
    assert answer("x86_64", 0x40000000 | 41, UNIX, STREAM) == refused(errno.ENOSYS)
