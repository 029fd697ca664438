"""Which sockets a version's cluster leads to, as Envoy's ``ClusterLoadAssignment``. Pure.

Source of the fields: Envoy 1.40, api/envoy/config/{endpoint,core}/v3. They are protobuf and no JSON because they travel
by gRPC (:mod:`fairlead.gateway.discovery`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import NamedTuple

from fairlead.gateway.door import DoorState
from fairlead.gateway.protobuf import data, number, text
from fairlead.gateway.routes import served_versions
from fairlead.settings import SOCKET_PATH_BYTES

TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_SHARES = (199, 1)
"""Of calls, for replicas that serve and for those that are ejected: seldom enough that 99 of 100 callers notice
nothing, often enough to see that one is well again."""
_OVERPROVISIONING = 1_000_000
"""One ejected of two would send 30 % to the waker: what is left is enough until nothing is left."""


class Sockets(NamedTuple):
    """The replicas of a version, sorted: those that serve, and those that get hardly any calls."""

    serving: tuple[str, ...] = ()
    ejected: tuple[str, ...] = ()


class Assignment(NamedTuple):
    """What Envoy is told of a version, and a name for it that is the same for the same."""

    version: str
    encoded: bytes


def sockets(state: DoorState) -> dict[str, Sockets]:
    """Return where each served version leads, by ``name@version``; the last one that is ejected serves."""
    found = {}
    for name in served_versions(state.routes):
        replicas = sorted(state.endpoints.get(name, ()))
        serving = tuple(path for path in replicas if path not in state.ejected)
        if not serving:
            found[name] = Sockets(tuple(replicas))
        else:
            found[name] = Sockets(serving, tuple(path for path in replicas if path in state.ejected))
    return found


def unfit(told: Mapping[str, Sockets]) -> dict[str, str]:
    """Return the versions that Envoy must not hear of, and why: it ends over a path that is no socket's."""
    return {
        name: f"{path[:40]}… exceeds maximum UNIX domain socket path ({SOCKET_PATH_BYTES} bytes)"
        for name, parts in told.items()
        for path in (*parts.serving, *parts.ejected)
        if len(path.encode()) > SOCKET_PATH_BYTES or not path.startswith("/")
    }


@lru_cache(maxsize=10_000)
def assignment(name: str, parts: Sockets, waker: str) -> Assignment:
    """Return what Envoy is told: replicas first, the waker when there are none or none answers.

    Ejected ones are a locality of their own, whose share Envoy keeps whatever is under way in it; with weights of
    endpoints LEAST_REQUEST would send an idle replica the more, the busier the others are.
    """
    share, hardly = _SHARES
    localities = [_locality("serving", parts.serving, share, 0)]
    if parts.ejected:
        localities.append(_locality("ejected", parts.ejected, hardly, 0))
    localities.append(_locality("waker", (waker,), 1, 1))
    policy = data(4, data(3, number(1, _OVERPROVISIONING)))
    encoded = text(1, name) + b"".join(data(2, one) for one in localities) + policy
    return Assignment(hashlib.blake2b(encoded, digest_size=8).hexdigest(), encoded)


def _locality(zone: str, paths: Collection[str], weight: int, priority: int) -> bytes:
    endpoints = b"".join(data(2, data(1, data(1, data(2, text(1, path))))) for path in paths)
    return data(1, text(2, zone)) + endpoints + data(3, number(1, weight)) + number(5, priority)
