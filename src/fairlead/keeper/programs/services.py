"""The platform's own programs on this machine: how each is started, and how it shows that it answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable

from fairlead import settings as settings_of
from fairlead.bus import server
from fairlead.engines.local import marker_of
from fairlead.errors import Unavailable
from fairlead.gateway import Gateway
from fairlead.keeper.programs import simulator as simulated
from fairlead.keeper.programs.probe import http_answers, tcp_answers
from fairlead.keeper.programs.programs import Spec
from fairlead.settings import Home, Settings

_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "NATS_SERVER_BIN", "HOME")
_CLOUDS = ("AWS_", "GOOGLE_", "AZURE_")
"""Beginnings of the variables by which clients of object stores sign in: control's alone."""
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
"""By which control reaches the bucket, in capitals or not; callbacks and spans take no proxy."""


def envoy(gateway: Gateway, home: Home, after_start: Callable[[], Awaitable[None]]) -> Spec:
    """Return the front door."""

    async def answers() -> bool:
        try:
            return await gateway.ready()
        except Unavailable:
            return False

    return Spec("envoy", lambda: tuple(gateway.argv()), _environment(home), answers, after_start=after_start)


def bus(settings: Settings, home: Home, after_start: Callable[[], Awaitable[None]]) -> Spec:
    """Return nats-server."""

    async def answers() -> bool:
        try:
            url = server.current(home.bus).url
        except Unavailable:
            return False
        return await tcp_answers(url.removeprefix("nats://"))

    return Spec(
        "bus",
        lambda: server.prepare(home.bus, settings.node).argv,
        _environment(home),
        answers,
        grace_s=server.STOP_GRACE_S,
        after_start=after_start,
    )


def control(settings: Settings, home: Home) -> Spec:
    """Return control with its API."""
    return Spec(
        "control",
        lambda: (sys.executable, "-P", "-m", "fairlead.api"),
        _environment(home) | _to_the_bucket() | {"FAIRLEAD_SETTINGS": settings_of.to_text(settings)},
        lambda: http_answers(home.control_socket, "/readyz"),
        start_s=60,
        grace_s=10,
        frozen_s=30,
    )


def simulator(home: Home) -> Spec:
    """Return the simulated devices."""
    argv = (sys.executable, "-P", "-m", "fairlead.simulators", str(simulated.config_of(home)))
    return Spec(simulated.NAME, lambda: argv, _environment(home), _always, frozen_s=3600)


def _environment(home: Home) -> dict[str, str]:
    """Return the variables of these programs: few of ours, and the mark of this installation."""
    kept = {name: value for name, value in os.environ.items() if name in _PASSED}
    return kept | marker_of(home) | {"PYTHONUNBUFFERED": "1"}


def _to_the_bucket() -> dict[str, str]:
    """Return the variables by which control, and no other program, reaches the bucket: as this process does."""
    names = (name for name in os.environ if name.startswith(_CLOUDS) or name.upper() in _PROXIES)
    return {name: os.environ[name] for name in names}


async def _always() -> bool:
    return True
