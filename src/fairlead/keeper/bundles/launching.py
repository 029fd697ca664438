"""Says how a replica is started from what is prepared here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fairlead.engines import Launch
from fairlead.engines.launch import Compiled
from fairlead.engines.local import launch_for
from fairlead.errors import Unavailable
from fairlead.keeper.bundles.secrets import Secrets
from fairlead.messages import VersionWanted
from fairlead.settings import Home, Settings


class Launching:
    """``bundle``: the folders of a bundle and its environment by digest, once it is prepared; ``program``: what was
    compiled of it, if anything."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        secrets: Secrets,
        bundle: Callable[[str], tuple[Path, Path] | None],
        program: Callable[[str], Compiled | None],
    ) -> None:
        self._settings, self._home, self._secrets = settings, home, secrets
        self._bundle, self._program = bundle, program

    async def launch(self, wanted: VersionWanted) -> Launch:
        """Return how a replica of ``wanted`` is started; raises :class:`Unavailable` (``not_prepared``)."""
        found, compiled = self._bundle(wanted.digest), self._program(wanted.digest)
        if found is None:
            raise Unavailable(f"{wanted.spec.name} is not prepared here yet", code="not_prepared", retry_after_s=1)
        return await self.begun(wanted, *found, compiled)

    async def begun(
        self, wanted: VersionWanted, folder: Path, environment: Path, compiled: Compiled | None = None
    ) -> Launch:
        """Return how a replica of ``wanted`` is started from the folders of its bundle and its environment."""
        secrets = self._secrets.opened(wanted.spec.name, wanted.secrets)
        made = partial(
            launch_for,
            wanted,
            self._home,
            bundle=folder,
            environment=environment,
            secrets=secrets,
            body_max_bytes=self._settings.body_max_bytes,
            disk_mb=self._settings.scratch_mb,
            compiled=compiled,
        )
        return await asyncio.to_thread(made)  # user ids lie in a file that is synced, and locked while it is tidied
