"""What the front door counted, as it tells on its admin socket."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from fairlead.figures import Histogram

DURATIONS_MS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 180_000, 600_000)
"""Upper bounds of the buckets of durations; Envoy counts whole milliseconds."""
DURATIONS = tuple(bound / 1000 for bound in DURATIONS_MS)
"""The same in seconds."""
CLASSES = ("2xx", "3xx", "4xx", "5xx")
VERSION_TAG = "version"
VERSION_REGEX = r"^cluster\.((.+@.+)\.)upstream_rq_time$"
"""A version may have dots in it, which the tags that Envoy knows by itself do not expect."""
_TOTAL = "upstream_rq_total"
"""A cluster itself has it; the parts of a cluster that Envoy counts apart (``.external``) have not."""
_BUCKET = re.compile(rf'upstream_rq_time_(bucket|sum)\{{{VERSION_TAG}="([^"]+)"(?:,le="([^"]+)")?\}} (\S+)')


class VersionTraffic(msgspec.Struct, frozen=True):
    """Requests to one version since the front door started."""

    total: int = 0
    active: int = 0
    waiting: int = 0
    """Without a connection yet."""
    answered: Mapping[str, int] = {}
    """By class of the status."""
    retried: int = 0
    duration: Histogram = Histogram()
    """From the request's arrival to the end of its answer, waking included; buckets of ``DURATIONS``."""

    @property
    def failed(self) -> int:
        """Answered 5xx."""
        return self.answered.get("5xx", 0)


class DoorStats(msgspec.Struct, frozen=True):
    """What the front door counted."""

    versions: Mapping[str, VersionTraffic] = {}
    """By ``name@version``; those never called may be missing."""
    connections: int = 0
    requests: int = 0
    answered: Mapping[str, int] = {}
    """All requests, also those for control and pages and those it refused, by class of the status."""

    @property
    def failed(self) -> int:
        """Answered 5xx."""
        return self.answered.get("5xx", 0)


def read(counters: Mapping[str, int], durations: str) -> DoorStats:
    """Return what the counters say, and the ``durations`` in the Prometheus text format."""
    found: dict[str, dict[str, int]] = {}
    for name, value in counters.items():
        head, _, counter = name.rpartition(".")
        version = head.removeprefix("cluster.")
        if name.startswith("cluster.") and "@" in version:
            found.setdefault(version, {})[counter] = value
    times = _durations(durations)
    return DoorStats(
        versions={
            version: _version(seen, times.get(version, Histogram()))
            for version, seen in found.items()
            if _TOTAL in seen
        },
        connections=counters.get("http.door.downstream_cx_active", 0),
        requests=counters.get("http.door.downstream_rq_completed", 0),
        answered=_classes(counters, "http.door.downstream_rq_"),
    )


def _version(seen: Mapping[str, int], duration: Histogram) -> VersionTraffic:
    return VersionTraffic(
        total=seen.get(_TOTAL, 0),
        active=seen.get("upstream_rq_active", 0),
        waiting=seen.get("upstream_rq_pending_active", 0),
        answered=_classes(seen, "upstream_rq_"),
        retried=seen.get("upstream_rq_retry", 0),
        duration=duration,
    )


def _classes(counters: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name: counters[prefix + name] for name in CLASSES if prefix + name in counters}


def _durations(text: str) -> dict[str, Histogram]:
    """Return the histograms in ``text`` by version, in seconds and with each bucket's own count."""
    upto: dict[str, dict[float, int]] = {}
    sums: dict[str, float] = {}
    for kind, version, bound, value in _BUCKET.findall(text):
        if kind == "sum":
            sums[version] = float(value) / 1000
        else:
            upto.setdefault(version, {})[float(bound)] = int(value)
    found = {}
    for version, counts in upto.items():
        below = [counts.get(float(bound), 0) for bound in (*DURATIONS_MS, "inf")]
        own = tuple(high - low for low, high in zip((0, *below), below, strict=False))
        found[version] = Histogram(own, sums.get(version, 0.0))
    return found
