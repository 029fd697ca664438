"""One run as this machine knows it: what is wanted of it, how far it is, where its things lie. Kept on disk."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fairlead.bus.port import Bus
from fairlead.clock import Clock, to_text
from fairlead.keeper.bundles.secrets import Secrets
from fairlead.keeper.channel_routes.files import RunFiles
from fairlead.keeper.memory import replace_file
from fairlead.keeper.running.launch import has_page_socket, needs_port, paths_of
from fairlead.keeper.running.models_call import ModelCaller
from fairlead.keeper.running.readings import Readings
from fairlead.messages import RunWanted
from fairlead.sandbox.level import Isolation
from fairlead.settings import Home
from fairlead.status import RunStatus
from fairlead.supervisor import logfile
from fairlead.supervisor.aside import aside

_log = logging.getLogger(__name__)
FINAL = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED)
_LINES = 20


@dataclass(frozen=True)
class RunPorts:
    """What every run of a machine needs."""

    home: Home
    bus: Bus
    models: ModelCaller
    files: RunFiles
    readings: Readings
    clock: Clock
    isolation: Isolation
    ready_bundle: Callable[[str], tuple[Path, Path] | None]
    """From a bundle's digest to its folder and that of its environment, once both are there."""
    uid_of: Callable[[str], int | None]
    """User id for a name, ``None``: the platform's own."""
    marker: Mapping[str, str]
    """Variables that mark all children of this installation."""
    secrets: Secrets
    """Opens those of the run's app."""
    changed: Callable[[], None]
    """Called when a report would say something new."""
    disk_mb: int = 0
    """Largest file that a run writes; 0: as large as any may be."""


class Kept(msgspec.Struct, omit_defaults=True):
    """What is kept on disk of a run, so that a new keeper goes on where the old one ended."""

    attempt: int = 0
    slot: int = -1
    """Number of its user id among those of live runs."""
    port: int = 0
    status: RunStatus = RunStatus.PLANNED
    reason: str = ""
    since: str = ""
    restarts: int = 0
    was_ready: bool = False
    last_lines: tuple[str, ...] = ()


class RunState:
    """The state of one run; only :meth:`move` changes its status."""

    def __init__(self, wanted: RunWanted, ports: RunPorts, kept: Kept) -> None:
        self.wanted = wanted
        self.ports = ports
        self.kept = kept
        self.paths = paths_of(ports.home, wanted.run)
        self.uid: int | None = None
        """Whose its processes are; ``None``: the platform's own."""
        self._writing = asyncio.Lock()
        self.holds_port = False
        """Whether the run itself listens on the port of its page, and nobody else does."""

    @property
    def is_final(self) -> bool:
        return self.kept.status in FINAL

    @property
    def page(self) -> str:
        """Where the page of the run is, ready or not: a socket's path or ``host:port``; empty when it has none."""
        if has_page_socket(self.wanted):
            return str(self.paths.page)
        return f"127.0.0.1:{self.kept.port}" if needs_port(self.wanted) else ""

    @property
    def ready_page(self) -> str:
        """Where the front door finds the page: while the run is ready and listens there itself, else empty."""
        is_there = self.kept.status is RunStatus.READY and (self.holds_port or not needs_port(self.wanted))
        return self.page if is_there else ""

    async def move(self, status: RunStatus, reason: str) -> None:
        """Say what is, and keep it on disk; a full disk must not keep a run from being stopped."""
        if status is not self.kept.status:
            self.kept.since = to_text(self.ports.clock.now())
        self.kept.status, self.kept.reason = status, reason
        await self.try_to_save()
        self.ports.changed()
        _log.info("run is %s", status.value, extra={"run": self.wanted.run, "reason": reason})

    async def save(self) -> None:
        """Put what is known on disk; raises :class:`OSError`."""
        file = kept_file(self.ports.home, self.wanted.run)
        async with self._writing:  # the newest is written last
            known = msgspec.json.encode(self.kept)
            file.parent.mkdir(mode=0o700, exist_ok=True)
            await aside(lambda: replace_file(file, known))

    async def try_to_save(self) -> None:
        """Put what is known on disk; where that fails, the next move tries again."""
        try:
            await self.save()
        except OSError as error:
            _log.warning("a run is not kept on disk", extra={"run": self.wanted.run, "reason": str(error)})

    def take_lines(self) -> None:
        """Keep the last lines of its log."""
        self.kept.last_lines = logfile.said(self.paths.log, _LINES)

    def make_folders(self) -> None:
        """The run's user owns its scratch and the folder of its page; where its channel is, it may only look."""
        self.paths.folder.mkdir(mode=0o711, exist_ok=True)
        for folder in (self.paths.page_folder, self.paths.scratch):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.uid is not None:
                os.chown(folder, self.uid, self.uid, follow_symlinks=False)


def kept_file(home: Home, run: str) -> Path:
    """Return where :class:`Kept` of a run lies."""
    return home.keeper / "runs" / f"{run}.json"


def remove(home: Home, run: str) -> None:
    """Remove all files of a run on this machine but its log."""
    paths = paths_of(home, run)
    for folder in (paths.folder, paths.scratch):
        shutil.rmtree(folder, ignore_errors=True)
    kept_file(home, run).unlink(missing_ok=True)
