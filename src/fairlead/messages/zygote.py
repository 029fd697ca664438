"""A zygote's channel."""

from __future__ import annotations

from fairlead.messages.parts import ModelSpec
from fairlead.messages.wire import Message, Part


class ZygoteSpec(Part, frozen=True):
    """What a zygote is told, as JSON in its environment's ``FAIRLEAD_ZYGOTE``."""

    name: str
    socket: str
    """Path of the socket on which it listens for its keeper."""
    folder: str
    """The bundle, read-only; put on ``sys.path``."""
    preload: tuple[str, ...] = ()
    """Modules to import before the first fork."""
    uid: int = 0
    """User id of the platform: only it and root may dial."""
    paths: tuple[str, ...] = ()
    """Folders with packages of the platform's, put behind the environment's own."""


class Fork(Message, frozen=True):
    """Have the zygote fork a replica that serves ``spec``."""

    replica: str
    spec: ModelSpec
    gate: str
    folder: str
    """The bundle, read-only."""
    scratch: str
    serve: str
    """Path of its socket for the front door."""
    keep: str
    """Path of its socket for the keeper."""
    device: str = "cpu"
    log: str = ""
    """File that its stdout and stderr are appended to; empty: those of the zygote."""
    body_max_bytes: int = 100 * 1024**2
    """Longest body of a call."""
    memory_mb: int = 0
    """A replica that holds more once it is loaded has failed; 0: its keeper alone watches."""
    compiled: str = ""
    """Folder of the compiled program that takes the artifact's place."""
    preload: tuple[str, ...] = ()
    """Modules that the zygote imports first, where it has not yet."""


class ForkStop(Message, frozen=True):
    """Signal a replica that this zygote forked."""

    replica: str
    signal: int


class ZygoteUp(Message, frozen=True):
    """First frame after a keeper dialled: who lives, so that a new keeper adopts them."""

    pid: int
    replicas: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    """Modules of ``preload`` that could not be imported, threads that imports started."""


class Forked(Message, frozen=True):
    replica: str
    pid: int
    error: str = ""


class Exited(Message, frozen=True):
    """A replica ended: exit code, or minus the signal."""

    replica: str
    pid: int
    code: int


FromZygote = ZygoteUp | Forked | Exited
ToZygote = Fork | ForkStop
