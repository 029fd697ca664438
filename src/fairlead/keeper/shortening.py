"""Drives the bound of logs: what has grown too long is cut."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from fairlead.clock import Clock
from fairlead.supervisor import logfile

EVERY_S = 5.0


async def keep_short(logs: Path, access: Path, clock: Clock) -> None:
    """Cut the logs below the folder ``logs`` now and then, until canceled; that of ``access`` has its own keeper."""
    while True:
        await clock.sleep(EVERY_S)
        await asyncio.to_thread(_rotate, logs, access)


def _rotate(logs: Path, access: Path) -> None:
    for folder, _, files in os.walk(logs):  # not rglob, which a folder that is removed meanwhile ends with an error
        for file in (Path(folder, name) for name in files if name.endswith(".log")):
            if file != access:
                logfile.rotate(file)
