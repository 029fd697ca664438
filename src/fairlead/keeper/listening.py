"""Where the platform of a home listens: written at its start, removed at its end, read by who is on the machine.

The options of that start stay, so that the next ``up`` of the home needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead.keeper.memory import replace_file
from fairlead.settings import Home, Settings


class Listening(msgspec.Struct, frozen=True):
    """The doors of a running platform."""

    url: str
    listen: str
    devices: str


def keep(home: Home, settings: Settings) -> None:
    """Write down where the platform of ``home`` listens from now on."""
    doors = Listening(url=settings.url, listen=settings.listen, devices=settings.devices)
    replace_file(home.listening, msgspec.json.encode(doors))


def remember(home: Home, options: Mapping[str, Any]) -> None:
    """Have the next start of ``home`` know ``options`` (:func:`fairlead.settings.options`)."""
    replace_file(home.options, msgspec.json.encode(options))


def forget(home: Home) -> None:
    """Nothing of ``home`` listens any more."""
    home.listening.unlink(missing_ok=True)


def read(home: Home) -> Listening | None:
    """Return where the platform of ``home`` listens; nothing when it was stopped, or the home is not ours to read."""
    try:
        return msgspec.json.decode(home.listening.read_bytes(), type=Listening)
    except (FileNotFoundError, NotADirectoryError, PermissionError, msgspec.DecodeError):
        return None
