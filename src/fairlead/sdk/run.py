"""The program of an app's run: ``python -m fairlead.sdk.run module:attribute``.

Reads ``FAIRLEAD_SOCKET`` (the run's channel) and ``FAIRLEAD_PAGE`` (where the page is expected). Exit codes: 0 after
SIGTERM, 78 (EX_CONFIG of sysexits.h: do not start again) when the app does not fit its manifest, 1 after a fault.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from importlib import import_module

import uvloop

from fairlead import log
from fairlead.errors import Conflict, Error, Invalid, NotFound
from fairlead.sdk import traces
from fairlead.sdk.app import App
from fairlead.sdk.runner import Runner

EXIT_CONFIG = 78
_log = logging.getLogger("fairlead.run")


def load(entry: str) -> App:
    """Return the app that ``entry`` names (``module:attribute``); raises :class:`Invalid` when it is none."""
    module_name, colon, attribute = entry.partition(":")
    if not colon:
        raise Invalid(f"{entry} is no entry", code="entry_invalid", hint='write it as "module:attribute"')
    target: object = import_module(module_name)
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise Invalid(f"{module_name} has no {attribute}", code="entry_missing", hint="correct [run] entry")
        target = getattr(target, part)
    if not isinstance(target, App):
        raise Invalid(
            f"{entry} is a {type(target).__name__}, not a fairlead.App",
            code="entry_invalid",
            hint="assign app = fairlead.App() and name it in [run] entry",
        )
    return target


async def serve(app: App, page: str | None) -> int:
    """Run ``app`` until SIGTERM and return the exit code."""
    if page is not None and app.web is None:
        raise Invalid("[run] web is set, but the app has no page", code="page_missing", hint="fairlead.App(web=site)")
    if page is None and app.web is not None:
        _log.warning('the app has a page, but [run] web does not name its path; add web = "/"')
    runner = Runner(app)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runner.stop)
    return await runner.run(page=page)


def main() -> int:
    """Load and run the app; return the exit code."""
    folder = os.getcwd()
    log.configure(os.environ.get("FAIRLEAD_LOG_LEVEL", "info"), trace=lambda error: traces.trace(error, folder))
    if len(sys.argv) != 2:
        _log.error("usage: python -m fairlead.sdk.run module:attribute")
        return EXIT_CONFIG
    sys.path.insert(0, folder)
    try:
        app = load(sys.argv[1])
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(serve(app, os.environ.get("FAIRLEAD_PAGE") or None))
    except (Invalid, NotFound, Conflict) as error:
        _log.error("%s (%s): %s", error.message, error.code, error.hint)
        return EXIT_CONFIG
    except Error as error:
        _log.error("%s (%s): %s", error.message, error.code, error.hint)
        return 1
    except Exception as error:  # noqa: BLE001 - the app's own, at start: one record, not a line for each frame
        said = str(error).partition("\n")[0]
        _log.error("the app ended: %s%s", type(error).__name__, f": {said}" if said else "", exc_info=error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
