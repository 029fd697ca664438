"""Where callbacks may go: the public internet, and hosts that the installation names. Values in, values out.

A name is judged twice: as it is written, when the job is submitted, and by every address that it resolves to, when the
callback is sent to one of these. So a name that means another address a moment later leads nowhere else.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from fairlead.errors import Invalid

URL_MAX = 2000
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
_HERE = ("localhost", "local", "internal", "lan", "home.arpa", "onion")
"""Domains that mean machines nearby wherever they resolve."""
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_NEVER: tuple[Network, ...] = (
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.IPv6Network("2001::/23"),  # Teredo and others of no single place: RFC 2928
    ipaddress.IPv6Network("2002::/16"),  # 6to4 carries any IPv4 address
    ipaddress.IPv6Network("3fff::/20"),  # documentation: RFC 9637
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was taken apart; it is put together again from these parts alone."""

    scheme: str
    host: str
    """Lower case; an IPv6 address without brackets."""
    port: int
    path: str
    """With the query."""

    @property
    def authority(self) -> str:
        """Return what stands in ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def at(self, address: Address) -> str:
        """Return the URL with ``address`` in place of the name."""
        host = f"[{address}]" if address.version == 6 else str(address)
        return f"{self.scheme}://{host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Private hosts that callbacks may reach all the same."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Return what ``hooks.lan, 10.0.3.0/24`` allows; raises :class:`Invalid` (``settings_invalid``)."""
        names, networks = set(), []
        for word in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(word))
            except ValueError:
                if not _NAME.fullmatch(word) or word.rpartition(".")[2].isdigit():
                    raise Invalid(
                        f"callback_hosts: {word!r} is no name of a host, no address and no network",
                        code="settings_invalid",
                        hint="hooks.lan, 10.0.3.7, 10.0.3.0/24",
                    ) from None
                names.add(word)
        return cls(frozenset(names), tuple(networks))

    def reaches(self, host: str, address: Address) -> bool:
        """Whether a callback to ``host`` may connect to ``address``."""
        if is_public(address) or host in self.names:
            return True
        return any(address.version == network.version and address in network for network in self.networks)


_PORTS = {"http": 80, "https": 443}


def is_public(address: Address) -> bool:
    """Whether ``address`` is one machine somewhere on the internet, reached by no tunnel that starts here."""
    if any(address.version == network.version and address in network for network in _NEVER):
        return False
    if isinstance(address, ipaddress.IPv6Address):  # mapped and translated IPv4 addresses lie outside 2000::/3
        return address in _GLOBAL_V6 and address.is_global
    return address.is_global and not address.is_multicast and not address.is_reserved


def literal(host: str) -> Address | None:
    """Return the address that ``host`` is, in any notation that resolvers take: ``2130706433`` is 127.0.0.1."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None


def check(url: str, allowed: Allowed) -> Target:
    """Return where ``url`` leads; raises :class:`Invalid` (``callback_invalid``, ``callback_private``)."""
    target = parse(url)
    address = literal(target.host)
    if address is None:
        is_near = "." not in target.host or target.host.rpartition(".")[2].isdigit()
        is_near = is_near or any(target.host == here or target.host.endswith(f".{here}") for here in _HERE)
        if not is_near or target.host in allowed.names:
            return target
    elif allowed.reaches(target.host, address):
        return target
    raise private(target.host)


def private(host: str) -> Invalid:
    """Return the refusal of a callback that would reach a machine nearby."""
    return Invalid(
        f"callback: {host[:100]} is no public address",
        code="callback_private",
        hint="take an address on the internet, or have the host named in the setting callback_hosts",
    )


def parse(url: str) -> Target:
    """Return the parts of ``url``; raises :class:`Invalid` (``callback_invalid``)."""
    if len(url) > URL_MAX or not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}'):
        raise _invalid(f"it has more than {URL_MAX} characters, or such as no URL has")
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, (parts.hostname or "").removesuffix("."), parts.port
    except ValueError as error:
        raise _invalid(str(error)) from None
    if scheme not in _PORTS:
        raise _invalid("it begins with neither https:// nor http://")
    if "@" in parts.netloc:
        raise _invalid("it holds a user's name or password, which would be kept; the signature shows who calls")
    is_address = ":" in host and "%" not in host and literal(host) is not None
    if not (is_address or (len(host) <= 253 and _NAME.fullmatch(host))):
        raise _invalid("it names no host")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(scheme, host, port or _PORTS[scheme], path)


def _invalid(why: str) -> Invalid:
    return Invalid(f"callback: {why}", code="callback_invalid", hint="https://hooks.example.org/jobs")
