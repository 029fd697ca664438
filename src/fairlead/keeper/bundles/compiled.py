"""What the part that drives replicas must know of compiled programs; ``compiling`` makes them."""

from __future__ import annotations

from typing import Protocol

from fairlead.engines.launch import Compiled
from fairlead.keeper.serving.pool import Replica
from fairlead.keeper.serving.version import Version
from fairlead.messages import VersionWanted


class Programs(Protocol):
    """The compiled programs of this machine."""

    def program(self, digest: str) -> Compiled | None:
        """Return the program that takes the place of a bundle's artifact, if there is one."""

    def serving(self, wanted: VersionWanted) -> str:
        """Return what is served of a version and why, in words."""

    def refuse(self, digest: str, why: str, *, keep: bool) -> None:
        """Serve as it is from now on; ``keep``: for good."""


class NoPrograms:
    """A machine that compiles nothing."""

    def program(self, digest: str) -> Compiled | None:
        return None

    def serving(self, wanted: VersionWanted) -> str:
        return ""

    def refuse(self, digest: str, why: str, *, keep: bool) -> None:
        """Nothing: there is none."""


def refused(programs: Programs, version: Version, replica: Replica, reason: str) -> bool:
    """Have the version served as it is when it was its compiled program that did not start; returns whether it was."""
    if not (replica.compiled and version.is_compiled) or replica.was_ready or replica.left is not None:
        return False
    version.is_compiled = False
    programs.refuse(version.digest, reason, keep=replica.error is not None)
    return True
