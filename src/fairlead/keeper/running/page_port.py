"""Who listens on the loopback port of a run's page.

A program of any language binds ``PORT`` itself, so another user of the machine may be there first. The kernel tells
whose a listening socket is: the front door is led to it only while it is the run's.
"""

from __future__ import annotations

import socket
from pathlib import Path

_NET = Path("/proc/net")
_LISTENS = "0A"
_LOOPBACK = {
    "0100007F",
    "00000000",
    "0" * 32,
    "0000000000000000FFFF00000100007F",
}
"""Addresses at which 127.0.0.1 is answered, as the kernel writes them (proc_pid_net(5), little-endian words)."""


def free() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listeners(port: int, net: Path = _NET) -> frozenset[int]:
    """Return the user ids of the sockets that listen on 127.0.0.1 at ``port``."""
    return frozenset(uid for name in ("tcp", "tcp6") for uid in _uids(net / name, port))


def _uids(table: Path, port: int) -> list[int]:
    try:
        text = table.read_text(encoding="ascii")
    except FileNotFoundError:  # the machine has no IPv6
        return []
    found, end = [], f":{port:04X}"
    for line in text.splitlines()[1:]:
        fields = line.split(maxsplit=8)
        address = fields[1]
        if address.endswith(end) and fields[3] == _LISTENS and address.removesuffix(end) in _LOOPBACK:
            found.append(int(fields[7]))
    return found
