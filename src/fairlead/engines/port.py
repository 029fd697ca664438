"""What the keeper asks of a place where replicas run. Real: :mod:`fairlead.engines.local`; fake:
``fairlead.testing.engine.HistoryEngine``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from fairlead.engines.launch import Launch

Begun = Callable[[int], None]
"""Hears a pid."""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """A replica as the engine sees it. Whether it is ready, its beats tell (``engines.link.ReplicaLink``)."""

    replica: str
    zygote: str
    digest: str
    """Of its bundle."""
    model: str
    version: str
    attempt: int = 0
    secrets: str = ""
    """Tells by which secrets it was started (``Launch.secrets``)."""
    compiled: bool = False
    """It serves the compiled program (``Launch.compiled``)."""
    pid: int
    alive: bool
    since: str
    """When it was started; RFC 3339."""
    serve: str
    """Path of its socket for the front door."""
    keep: str
    """Path of its socket for the keeper."""
    log: str
    """File with its stdout and stderr."""
    code: int | None = None
    """Exit code, or minus the signal, once it ended and somebody saw it."""
    reason: str = ""
    """How it ended, for people."""


class Engine(Protocol):
    """The seam of placement. Every method is safe to repeat; one that fails raises an error of our tree."""

    async def open(self) -> tuple[Observed, ...]:
        """Adopt what an earlier keeper left running and return all there is; what it has already it goes on with."""

    async def close(self) -> None:
        """Let go of everything; nothing is stopped."""

    async def warm(self, launch: Launch, begun: Begun = lambda pid: None) -> None:
        """Have the version's zygote up with its imports done, for a later start in milliseconds.

        ``begun`` hears of its process as soon as there is one.
        """

    async def cool(self, zygote: str) -> None:
        """End a zygote; its replicas live on."""

    async def start(self, launch: Launch) -> Observed:
        """Start ``launch.replica`` and return it as soon as its process exists; the same one if it is there already.

        Raises :class:`fairlead.errors.Unavailable` (``cannot_start``, ``zygote_failed``) with the last lines said.
        """

    async def stop(self, replica: str, grace_s: float) -> None:
        """SIGTERM, and after ``grace_s`` seconds SIGKILL; returns when it is gone. Unknown ids are fine."""

    async def forget(self, replica: str) -> None:
        """Drop an ended replica from what is observed, with its record, sockets and scratch folder."""

    def observe(self) -> tuple[Observed, ...]:
        """Return all replicas, the ended ones until they are forgotten."""

    def zygotes(self) -> dict[str, int]:
        """Return the pid of each live zygote by name."""

    async def changed(self) -> None:
        """Return once something was started or ended since ``observe`` was called last."""
