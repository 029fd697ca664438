"""Checks the addresses an installation wants before anything is started."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from fairlead.clock import Clock, SystemClock
from fairlead.errors import Conflict, Invalid
from fairlead.gateway.tls import check_pair
from fairlead.keeper.doors.certificate import read_pair
from fairlead.settings import Home, Settings, default_home
from fairlead.supervisor import adopt, read_records

_CLOCK = SystemClock()


def check_listeners(settings: Settings, clock: Clock = _CLOCK) -> None:
    """Raise :class:`Invalid` (``address_invalid``, ``insecure``, ``certificate``, ``otlp``) or ``port_in_use``."""
    if (settings.cert is None) != (settings.key is None):
        raise Invalid("--cert and --key go together", code="certificate", hint="give both, or none")
    if settings.cert is not None and settings.key is not None:
        check_pair(*read_pair(settings.cert, settings.key), clock.now())
    if settings.otlp:
        _check_collector(settings.otlp)
    if split("--listen", settings.listen) == split("--devices", settings.devices):
        raise Invalid(
            f"--listen and --devices are both {settings.listen}",
            code="address_invalid",
            hint="give devices another port, for example 127.0.0.1:1883",
        )
    ours = _adoptable(Home(settings.home))
    taken: list[tuple[str, str]] = []
    for flag, address in (("--listen", settings.listen), ("--devices", settings.devices)):
        host, port = split(flag, address)
        if not _is_loopback(host) and settings.cert is None and not settings.insecure:
            raise Invalid(
                f"{flag} {address} is reachable from other machines and has no TLS",
                code="insecure",
                hint="give --cert and --key, or say --insecure",
            )
        if not ours and not _is_free(flag, host, port):
            taken.append((flag, f"{host}:{port}"))
    if taken:
        raise _in_use(settings, taken)


def _in_use(settings: Settings, taken: Sequence[tuple[str, str]]) -> Conflict:
    """Return the refusal that names every address that is taken, and the command that avoids them all."""
    known = Settings(home=settings.home)
    named = [("--listen", settings.listen, known.listen), ("--devices", settings.devices, known.devices)]
    busy = {flag for flag, _ in taken}
    flags = " ".join(
        f"{flag} {'127.0.0.1:PORT' if flag in busy else address}"
        for flag, address, default in named
        if flag in busy or address != default
    )
    home = "" if settings.home == default_home() else f"--home {settings.home} "
    addresses = " and ".join(f"{flag} {address}" for flag, address in taken)
    return Conflict(
        f"{addresses} {'is' if len(taken) == 1 else 'are'} taken by another program",
        code="port_in_use",
        hint=f'stop that program, or choose another address: fairlead up {home}{flags}, make demo ARGS="{home}{flags}"',
    )


def _check_collector(url: str) -> None:
    """Raise :class:`Invalid` for what is no URL of a collector; what it holds goes to a file and to nobody's log."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username or parts.password or parts.query or parts.fragment:
        raise Invalid(
            "the setting otlp is no URL that takes traces",
            code="otlp",
            hint="http://host:4318 or https://host:4318, without a password or a query",
        )


def split(flag: str, address: str) -> tuple[str, int]:
    """Return host and port of ``host:port``; an empty host is all addresses."""
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and len(port) < 6) or not 0 < int(port) < 65536:
        raise Invalid(
            f"{flag} {address}: that is no address",
            code="address_invalid",
            hint="write host:port, for example 127.0.0.1:8080",
        )
    return host.strip("[]") or "0.0.0.0", int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _adoptable(home: Home) -> bool:
    """Whether an Envoy of this home, whose keeper was killed, holds the ports already."""
    for record in read_records(home.children):
        child = adopt(record)
        if child is not None:
            child.close()
            if record.name == "envoy":
                return True
    return False


def _is_free(flag: str, host: str, port: int) -> bool:
    """Whether nobody listens there; raises :class:`Invalid` where nobody can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise Invalid(
                f"{flag} {host}:{port}: {error.strerror}",
                code="address_invalid",
                hint="choose an address of this machine, and a port you may use",
            ) from error
    return True
