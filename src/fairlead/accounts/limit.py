"""How often one may try to sign in: values in, values out, bounded in memory.

Who guesses is slowed down, and nobody else: failures are counted by name and address together, so that a stranger's
guesses keep nobody out who signs in from elsewhere. Guesses at one name from many addresses leave each of them one.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from fairlead.errors import Busy

FAILURES_PER_PAIR = 5
"""For one name from one address,"""
FAILURES_PER_ADDRESS = 30
"""and for any names from one address,"""
WINDOW_S = 60.0
"""within so many seconds."""
SUSPICIOUS = 50
"""Failures for one name from all addresses after which each address has one,"""
SUSPICIOUS_S = 600.0
"""within so many seconds."""
_KEPT = 10_000
_NETWORK_BITS = 64
"""Of an address of IPv6: whoever has one has all of its network."""
_NAME = 256
"""Characters of a name that tell it: whoever signs in sends what they like."""
_Key = tuple[str, str, str]


class SignInLimit:
    """Counts failures per name and address, per address and per name; a success forgets those of its name there."""

    def __init__(self) -> None:
        self._failures: OrderedDict[_Key, list[float]] = OrderedDict()

    def check(self, name: str, address: str, monotonic: float) -> None:
        """Raise :class:`Busy` (``too_many_tries``) when too many have failed lately."""
        pair, whole, person = _keys(name, address)
        suspicious = len(self._recent(person, SUSPICIOUS_S, monotonic)) >= SUSPICIOUS
        bounds = [(pair, FAILURES_PER_PAIR, WINDOW_S), (whole, FAILURES_PER_ADDRESS, WINDOW_S)]
        if suspicious:
            bounds.append((pair, 1, SUSPICIOUS_S))
        for key, most, window_s in bounds:
            recent = self._recent(key, window_s, monotonic)
            if len(recent) >= most:
                wait_s = max(1.0, recent[-most] + window_s - monotonic)
                raise Busy(
                    "too many failed tries to sign in",
                    code="too_many_tries",
                    hint=f"wait {wait_s:.0f} s",
                    retry_after_s=wait_s,
                )

    def failed(self, name: str, address: str, monotonic: float) -> None:
        """Count a failure; also count a try that is still being checked, and take it back with :meth:`succeeded`."""
        for key in _keys(name, address):
            recent = self._recent(key, SUSPICIOUS_S, monotonic)
            self._failures.pop(key, None)
            self._failures[key] = [*recent[-SUSPICIOUS:], monotonic]
        while len(self._failures) > _KEPT:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of ``name`` from ``address``, and the last one of each alone."""
        pair, *alone = _keys(name, address)
        self._failures.pop(pair, None)
        for key in alone:
            if self._failures.get(key):
                self._failures[key].pop()

    def _recent(self, key: _Key, window_s: float, monotonic: float) -> list[float]:
        return [at for at in self._failures.get(key, ()) if at > monotonic - window_s]


def _keys(name: str, address: str) -> tuple[_Key, _Key, _Key]:
    """Return what is counted: the pair, the address, the name."""
    place, name = _place(address)[:_NAME], name[:_NAME]
    return ("pair", place, name), ("address", place, ""), ("name", "", name)


def _place(address: str) -> str:
    """Return what stands for an address: of IPv6 its network."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is None:
        return str(ipaddress.ip_network((known, _NETWORK_BITS), strict=False))
    return str(known)
