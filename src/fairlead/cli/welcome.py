"""What ``fairlead up`` does once everything answers: signs the person in, deploys the demo, says how to go on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from fairlead.cli import demo as demonstration
from fairlead.cli import session, terminal
from fairlead.cli.api import Api, Refused
from fairlead.cli.commands.login import say_put_aside, sign_in_here, state_of
from fairlead.errors import Forbidden, NotFound
from fairlead.identity import keys
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
            terminal.note("setting up the demo: two models, a room with devices, an app")
            await asyncio.to_thread(demonstration.install, self._settings)
            await asyncio.to_thread(demonstration.wait, self._settings)
        terminal.result(f"ready {self._settings.url}")
        if password:
            terminal.result(f"admin password: {password}   (shown once; you are signed in already)")
        if self._demo:
            terminal.result(await asyncio.to_thread(demonstration.curl, self._settings))
            for line in await asyncio.to_thread(demonstration.story, self._settings):
                terminal.note(line)
            terminal.note(
                f"throw the demo away: stop this, then rm -r {self._settings.home}, with all that you pushed here;"
                " a home of your own: fairlead up"
            )
        elif demonstration.is_in(Home(self._settings.home)):
            terminal.note(
                f"{self._settings.home} is the home of a demo, whose models, devices and app run here too;"
                " a home of your own: fairlead up --home FOLDER"
            )
        await asyncio.to_thread(self._say_which)

    def _sign_in_first(self) -> str:
        """Sign the owner of the home in; return the first password, nothing when it was shown before."""
        home = Home(self._settings.home)
        if session.settle(self._settings.url, keys.load(home.keys).ids()) is not None:
            say_put_aside(self._settings.url)
        if not self._is_signed_in():
            try:
                key = home.here.read_text(encoding="ascii")
                own = str(self._settings.cert.absolute()) if self._settings.cert else ""
                sign_in_here(self._settings.url, key, use=not self._another_lives(), ca=own)
            except (Refused, FileNotFoundError) as error:
                terminal.note(f"not signed in: {error}; use: fairlead login {self._settings.url}")
        try:
            first = json.loads(home.first.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ""
        home.first.unlink()
        return str(first["password"])

    def _another_lives(self) -> bool:
        """Whether the command line talks to another installation that answers: it goes on doing so."""
        try:
            other = session.current()
        except Forbidden:
            return False
        return other.url != self._settings.url and state_of(other) == "ok"

    def _say_which(self) -> None:
        """Take this installation into use unless another one is; say so then."""
        url = self._settings.url
        if session.in_use() == url:
            return
        if self._another_lives():
            terminal.note(f"the command line goes on talking to {session.in_use()}; change it with: fairlead use {url}")
            return
        with contextlib.suppress(NotFound):
            session.use(url)

    def _is_signed_in(self) -> bool:
        try:
            with Api(session.of(self._settings.url)) as api:
                api.get("/me")
        except (KeyError, Refused):
            return False
        return True
