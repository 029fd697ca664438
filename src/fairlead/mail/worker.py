"""Sends what waits in the outbox: one pass, for control's loop to repeat."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from fairlead.clock import Clock
from fairlead.errors import Error, Invalid
from fairlead.mail import outbox
from fairlead.mail.port import Enclosure, Letter, Mailer
from fairlead.store.database import Database
from fairlead.store.records import Mail

_log = logging.getLogger(__name__)

Fetch = Callable[[str], Awaitable[bytes]]
"""From a key of the bucket to its bytes; raises :class:`Error`."""


async def deliver(database: Database, mailer: Mailer | None, fetch: Fetch, clock: Clock) -> datetime | None:
    """Try every letter that is due once; return when the next one is. Without a mailer letters are kept."""
    for mail in await database.read(lambda session: list(outbox.due(session, clock.now()))):
        if mailer is None:
            await database.write(partial(outbox.kept, mail=mail.id, now=clock.now()))
            continue
        try:
            refused = await mailer.send(await _letter(mail, fetch))
        except Error as error:
            final = isinstance(error, Invalid)
            _log.warning("mail not sent", extra={"mail": mail.id, "reason": error.message})
            await database.write(partial(outbox.failed, mail=mail.id, why=error.message, now=clock.now(), final=final))
        else:
            await database.write(partial(outbox.sent, mail=mail.id, now=clock.now(), refused=refused))
    return await database.read(outbox.next_at)


async def _letter(mail: Mail, fetch: Fetch) -> Letter:
    enclosures = [Enclosure(one.name, await fetch(one.key), one.content_type) for one in mail.attach]
    stamp = int(mail.created_at.timestamp())
    return Letter(mail.to, mail.subject, mail.text, tuple(enclosures), id=f"mail-{mail.id}-{stamp}")
