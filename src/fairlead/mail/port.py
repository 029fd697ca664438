"""The seam of mail."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Enclosure(msgspec.Struct, frozen=True):
    """A file that goes with a letter."""

    name: str
    data: bytes
    content_type: str = "application/octet-stream"


class Letter(msgspec.Struct, frozen=True):
    """A letter as it is sent."""

    to: tuple[str, ...]
    subject: str
    text: str
    enclosures: tuple[Enclosure, ...] = ()
    id: str = ""
    """Names the letter, so that a second try is recognized by mail servers; empty: one is made."""


class Mailer(Protocol):
    """Sends letters. Real: ``smtp.SmtpMailer``; fake: ``fairlead.testing.mailer.ListMailer``."""

    async def send(self, letter: Letter) -> str:
        """Hand ``letter`` over; return who of its recipients was refused, and why (empty: nobody).

        Raises :class:`~fairlead.errors.Invalid` when no try will ever help (``mail_refused``), and
        :class:`~fairlead.errors.Unavailable` when a later one may (``mail_unavailable``).
        """
