"""A home on this machine, as its owner sees it: where its platform listens, and the key that signs its owner in."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fairlead.errors import Unavailable
from fairlead.keeper import listening
from fairlead.settings import Home
from fairlead.settings import load as load_settings


class Found(msgspec.Struct, frozen=True):
    """A home whose platform runs."""

    root: Path
    url: str
    key: str
    ca: str = ""
    """Its certificate, where it has one: who can read the home need not ask who signed it."""


def look(root: Path | None) -> Found:
    """Return the running installation of a home; raises :class:`Unavailable` (``not_running``)."""
    settings = load_settings({"home": root})
    home = Home(settings.home)
    now = listening.read(home)
    try:
        key = home.here.read_text(encoding="ascii")
    except FileNotFoundError:
        key = ""
    except PermissionError as error:
        raise Unavailable(
            f"{home.root} belongs to somebody else", code="not_running", hint="fairlead login URL signs in by password"
        ) from error
    if now is None or not key:
        raise Unavailable(
            f"{home.root}: nothing is running", code="not_running", hint=f"fairlead up --home {home.root}"
        )
    return Found(home.root, now.url, key, str(settings.cert.absolute()) if settings.cert else "")
