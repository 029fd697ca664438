"""The control process: opens the house, then serves the API on its Unix socket until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path

import uvloop
from fastapi import FastAPI
from granian.constants import Interfaces
from granian.server.embed import Server

from fairlead import garbage, log, settings
from fairlead.api.app import make_app
from fairlead.api.door import Door
from fairlead.control.house import open_house
from fairlead.errors import Error
from fairlead.supervisor import lastword

_log = logging.getLogger(__name__)
BACKLOG = 4096


async def serve() -> None:
    """Serve until SIGINT or SIGTERM."""
    chosen = settings.from_text(os.environ["FAIRLEAD_SETTINGS"])
    home = settings.Home(chosen.home)
    async with open_house(chosen, home) as house:
        app = make_app(house)
        # who asks whether control is ready asks at its socket: that of jobs is there before
        servers = (_server(home.jobs_socket, Door(app), Interfaces.RSGI), _server(home.control_socket, app))
        loop = asyncio.get_running_loop()
        serving = [asyncio.ensure_future(server.serve()) for server in servers]
        gc.collect()
        garbage.settle()
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        stop = asyncio.ensure_future(stopped.wait())
        failed = asyncio.ensure_future(house.failed())
        await asyncio.wait([*serving, stop, failed], return_when=asyncio.FIRST_COMPLETED)
        house.closing.set()
        for server in servers:
            server.stop()  # type: ignore[no-untyped-call]
        await asyncio.gather(*serving)


def _server(socket: Path, app: FastAPI | Door, interface: Interfaces = Interfaces.ASGI) -> Server:
    """Return who serves ``app`` on a Unix socket that is the user's alone."""
    socket.unlink(missing_ok=True)
    server = Server(app, uds=socket, interface=interface, backlog=BACKLOG, log_enabled=False)
    server.uds_permissions = 0o600  # the embedded server has it, but does not take it when it is made
    return server


def main() -> int:
    """Run control; when it cannot, the last line of its log says why and the keeper passes that on."""
    os.umask(0o077)  # records and bytes are nobody else's to read
    log.configure(os.environ.get("FAIRLEAD_LOG_LEVEL", "info"), plain=False)
    try:
        uvloop.run(serve())
    except Error as error:
        return lastword.speak(_log, error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
