"""Steps that are all done, whichever of them fails: how a house is closed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

from fairlead.errors import Error

_log = logging.getLogger(__name__)
Step = tuple[str, Callable[[], Awaitable[object]]]
"""What it does, for the log, and what does it."""


async def do_all(steps: Iterable[Step]) -> None:
    """Do one after the other; a fault in one is logged, holds up none, and the first is raised at the end."""
    first: Exception | None = None
    for name, step in steps:
        try:
            await step()
        except Error as error:
            _log.warning("%s: %s", name, error.message)
            first = first or error
        except Exception as error:  # noqa: BLE001 - whatever a step raises, those after it are to be done
            _log.exception("%s failed", name)
            first = first or error
    if first is not None:
        raise first
