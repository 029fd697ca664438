"""What ``fairlead up`` does once everything answers: signs the person in, deploys the demo, says how to go on."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from fairlead.cli import demo as demonstration
from fairlead.cli import terminal
from fairlead.cli.api import Refused
from fairlead.cli.commands.login import sign_in
from fairlead.settings import Home, Settings

if TYPE_CHECKING:
    from fairlead.keeper.house import House


class Welcome:
    """Greets once the house is ready."""

    def __init__(self, settings: Settings, *, demo: bool) -> None:
        self._settings, self._demo = settings, demo

    async def greet(self, house: House) -> None:
        """Print ``ready URL`` and, the first time, the administrator's password; raises :class:`Refused`."""
        password = await asyncio.to_thread(self._sign_in_first)
        if self._demo:
            await asyncio.to_thread(demonstration.install, self._settings)
            await house.start_simulator()
            await asyncio.to_thread(demonstration.wait, self._settings)
        terminal.result(f"ready {self._settings.url}")
        if password:
            terminal.result(f"admin password: {password}   (shown once; you are signed in already)")
        if self._demo:
            terminal.result(await asyncio.to_thread(demonstration.curl, self._settings))

    def _sign_in_first(self) -> str:
        """Return the first password after signing in with it; nothing when it was shown before."""
        file = Home(self._settings.home).first
        try:
            first = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ""
        try:
            sign_in(self._settings.url, first["user"], first["password"])
        except Refused as error:
            terminal.note(f"not signed in: {error.message}; use: fairlead login {self._settings.url}")
        file.unlink()
        return str(first["password"])
