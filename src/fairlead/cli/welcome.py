"""What ``fairlead up`` does once everything answers: signs the person in, deploys the demo, says how to go on."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from fairlead.cli import demo as demonstration
from fairlead.cli import session, terminal
from fairlead.cli.api import Api, Refused
from fairlead.cli.commands.login import sign_in_here
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
        """Sign the owner of the home in; return the first password, nothing when it was shown before."""
        home = Home(self._settings.home)
        if not self._is_signed_in():
            try:
                sign_in_here(self._settings.url, home.here.read_text(encoding="ascii"))
            except (Refused, FileNotFoundError) as error:
                terminal.note(f"not signed in: {error}; use: fairlead login {self._settings.url}")
        try:
            first = json.loads(home.first.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ""
        home.first.unlink()
        return str(first["password"])

    def _is_signed_in(self) -> bool:
        try:
            with Api(session.of(self._settings.url)) as api:
                api.get("/me")
        except (KeyError, Refused):
            return False
        return True
