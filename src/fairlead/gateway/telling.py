"""Decides what Envoy is told of endpoints: the incremental protocol of one connection. Pure.

Protocol: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds; fields:
api/envoy/service/discovery/v3/discovery.proto of Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from fairlead.gateway.assignments import TYPE, Assignment
from fairlead.gateway.protobuf import data, fields, text


class Asked(msgspec.Struct):
    """A ``DeltaDiscoveryRequest``."""

    kind: str = ""
    subscribe: list[str] = []
    unsubscribe: list[str] = []
    versions: dict[str, str] = {}
    """What Envoy holds as the connection begins."""
    nonce: str = ""
    error: str = ""


def read(message: bytes) -> Asked:
    """Return what Envoy asks or acknowledges."""
    asked = Asked()
    for field, value in fields(message):
        if not isinstance(value, bytes):
            continue
        match field:
            case 2:
                asked.kind = value.decode()
            case 3:
                asked.subscribe.append(value.decode())
            case 4:
                asked.unsubscribe.append(value.decode())
            case 5:
                entry = dict(fields(value))
                asked.versions[_text(entry.get(1))] = _text(entry.get(2))
            case 6:
                asked.nonce = value.decode()
            case 7:
                asked.error = _text(dict(fields(value)).get(2)) or "refused"
    return asked


def _text(value: int | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


class Telling:
    """One connection of Envoy: what it wants to hear of, what it was told and what it holds.

    ``of``: a version's present assignment.
    """

    def __init__(self, of: Callable[[str], Assignment]) -> None:
        self._of = of
        self._asked: set[str] = set()
        self._sent: dict[str, str] = {}
        self._held: dict[str, str] = {}
        self._open: dict[str, dict[str, str]] = {}
        """What each answer held that is not acknowledged, by its nonce."""
        self._refused: dict[str, tuple[str, str]] = {}
        """What was refused last, and why."""
        self._count = 0

    def hear(self, asked: Asked) -> bytes:
        """Take a request; returns the answer, empty where there is none."""
        if asked.kind and asked.kind != TYPE:
            return b""
        told = self._open.pop(asked.nonce, {})
        if asked.error:
            self._refused |= {name: (version, asked.error) for name, version in told.items()}
        else:
            self._held |= {name: version for name, version in told.items() if name in self._asked}
        for name in asked.unsubscribe:
            self._asked.discard(name)
            for among in (self._sent, self._held, self._refused):
                among.pop(name, None)
        self._asked.update(asked.subscribe)
        for name in asked.subscribe:  # a name that is asked for again waits for an answer again
            self._sent.pop(name, None)
        self._sent |= asked.versions
        self._held |= asked.versions
        return self.due(asked.subscribe)

    def due(self, names: Iterable[str]) -> bytes:
        """Return the answer that tells what is new of ``names``; empty where nothing is."""
        new = {name: self._of(name) for name in names if name in self._asked}
        new = {name: one for name, one in new.items() if self._sent.get(name) != one.version}
        if not new:
            return b""
        self._count += 1
        versions = {name: one.version for name, one in new.items()}
        self._sent |= versions
        self._open[str(self._count)] = versions
        resources = (
            data(2, text(1, one.version) + data(2, text(1, TYPE) + data(2, one.encoded)) + text(3, name))
            for name, one in new.items()
        )
        return b"".join(resources) + text(4, TYPE) + text(5, str(self._count))

    def lacks(self, names: Iterable[str]) -> list[str]:
        """Return those of ``names`` of which Envoy does not hold the present assignment."""
        return [name for name in names if self._held.get(name) != self._of(name).version]

    def refused(self, names: Iterable[str]) -> str:
        """Return why Envoy has refused the present assignment of one of ``names``; empty: it has not."""
        for name in names:
            version, why = self._refused.get(name, ("", ""))
            if version == self._of(name).version:
                return f"{name}: {why}"
        return ""
