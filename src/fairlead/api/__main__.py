"""The control process: opens the house, then serves the API on its Unix socket until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

from fairlead import log, settings
from fairlead.api.app import make_app
from fairlead.control.house import open_house
from fairlead.errors import Error

BACKLOG = 4096


async def serve() -> None:
    """Serve until SIGINT or SIGTERM."""
    chosen = settings.from_text(os.environ["FAIRLEAD_SETTINGS"])
    home = settings.Home(chosen.home)
    async with open_house(chosen, home) as house:
        home.control_socket.unlink(missing_ok=True)
        server = Server(
            make_app(house),
            uds=home.control_socket,
            interface=Interfaces.ASGI,
            backlog=BACKLOG,
            log_enabled=False,
        )
        server.uds_permissions = 0o600  # the embedded server has it, but does not take it when it is made
        loop = asyncio.get_running_loop()
        serving = asyncio.ensure_future(server.serve())
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        stop = asyncio.ensure_future(stopped.wait())
        failed = asyncio.ensure_future(house.failed())
        await asyncio.wait([serving, stop, failed], return_when=asyncio.FIRST_COMPLETED)
        house.closing.set()
        server.stop()  # type: ignore[no-untyped-call]
        await serving


def main() -> int:
    """Run control; exit 1 with one line on what was wrong."""
    log.configure(os.environ.get("FAIRLEAD_LOG_LEVEL", "info"), plain=False)
    try:
        uvloop.run(serve())
    except Error as error:
        print(f"control: {error.message} ({error.code}) {error.hint}", file=sys.stderr)  # noqa: T201 - its last word
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
