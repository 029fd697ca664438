"""How long a caller tries again, and what it may try again."""

from __future__ import annotations

import socket
import ssl
import time

import httpx

PAUSE_S = (0.1, 1.0)
"""Between two tries: the first, and the longest."""


class Patience:
    """How long something is tried again; a time that went well gives all of it back."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        self._until, self._pause_s = time.monotonic() + self._seconds, PAUSE_S[0]

    def pause(self, asked_s: float | None = None) -> bool:
        """Wait a little, or as long as was asked for, and return True; False at once when it is used up."""
        pause_s = self._pause_s if asked_s is None else max(asked_s, self._pause_s)
        if time.monotonic() + pause_s > self._until:
            return False
        time.sleep(pause_s)
        self._pause_s = min(PAUSE_S[1], 2 * self._pause_s)
        return True


def never_left(error: httpx.TransportError) -> bool:
    """Whether there was no connection that the request could have gone over."""
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def is_final(error: httpx.TransportError) -> bool:
    """Whether trying again cannot help: the name is unknown, the certificate is not trusted, the URL is none."""
    root = root_of(error)
    return isinstance(root, ssl.SSLError | socket.gaierror) or isinstance(error, httpx.UnsupportedProtocol)


def root_of(error: BaseException) -> BaseException:
    """Return what an error came from in the end."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
