"""Carries a sign-in over to the page of an app, another site that never gets the platform's cookie.

What goes through the address bar is a word for one use within seconds; what it stands for opens that page only.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from fairlead.control.house import House
from fairlead.identity.claims import Claims
from fairlead.identity.tokens import for_page

LASTS_S = 60.0
MOST = 1000


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a word stands for."""

    host: str
    """Name of the page, as its address begins."""
    cookie: str
    expires: datetime
    """The session's."""


class Handovers:
    """Tickets that are on their way; a restart of control loses them, and the person signs in once more."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._tickets: dict[str, tuple[float, Ticket]] = {}

    def give(self, ticket: Ticket) -> str:
        """Return the word for ``ticket``."""
        now = self._monotonic()
        self._tickets = {word: held for word, held in self._tickets.items() if held[0] > now}
        if len(self._tickets) >= MOST:
            del self._tickets[next(iter(self._tickets))]
        word = secrets.token_urlsafe(24)
        self._tickets[word] = (now + LASTS_S, ticket)
        return word

    def take(self, word: str, host: str) -> Ticket | None:
        """Return what ``word`` stands for, once, at the page that it was given for; else None."""
        until, ticket = self._tickets.pop(word, (0.0, None))
        return ticket if ticket is not None and ticket.host == host and until > self._monotonic() else None


def entry(handovers: Handovers, house: House, claims: Claims, host: str, page: str, back: str) -> str:
    """Return the address, good for one use, that opens ``page`` at its ``host`` as who has ``claims``."""
    expires = datetime.fromtimestamp(claims.exp, UTC)
    word = handovers.give(Ticket(host, for_page(claims, page, keys=house.keys), expires))
    return f"{house.runs.address(host)}/.fairlead/enter?word={quote(word)}&next={back}"
