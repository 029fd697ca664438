"""Drives the doors' certificate: when its files change and fit together, the front door takes them."""

from __future__ import annotations

import logging
from pathlib import Path

from fairlead.clock import Clock
from fairlead.errors import Error, Invalid
from fairlead.gateway import Gateway
from fairlead.gateway.tls import check_pair

_log = logging.getLogger(__name__)
LOOK_S = 1.0
"""How often the files are looked at."""


class Certificate:
    """The certificate and key of an installation with TLS."""

    def __init__(self, cert: Path, key: Path, gateway: Gateway, clock: Clock) -> None:
        self._files, self._gateway, self._clock = (cert, key), gateway, clock
        self._seen: tuple[object, ...] = ()

    def take(self) -> None:
        """Hand the pair to the front door; raises :class:`Invalid` (``certificate``) for one that does not fit."""
        self._seen = self._marks()
        chain, key = read_pair(*self._files)
        check_pair(chain, key, self._clock.now())
        self._gateway.keep_certificate(chain, key)

    async def run(self) -> None:
        """Take each change until canceled; while the files do not fit together, the last pair that did stays."""
        while True:
            await self._clock.sleep(LOOK_S)
            if self._marks() == self._seen:
                continue
            try:
                self.take()
            except Error as error:
                _log.warning("the changed certificate is not taken: %s (%s)", error.message, error.hint)
            else:
                _log.info("the front door has a new certificate")

    def _marks(self) -> tuple[object, ...]:
        """Return what tells these files from changed ones; links are followed, as renewers of certificates use them."""
        found: list[object] = []
        for file in self._files:
            try:
                state = file.stat()
            except OSError:
                found.append(None)
            else:
                found.append((state.st_ino, state.st_size, state.st_mtime_ns))
        return tuple(found)


def read_pair(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """Return both files; raises :class:`Invalid` (``certificate``)."""
    found = []
    for file in (cert, key):
        try:
            found.append(file.read_bytes())
        except OSError as error:
            raise Invalid(f"{file}: {error.strerror}", code="certificate", hint="name a PEM file") from error
    return found[0], found[1]
