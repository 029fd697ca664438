"""Drives the outbox: letters are written within the transaction of what they tell of, and sent afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from fairlead.apps.letters import Letter
from fairlead.buckets.port import Bucket
from fairlead.clock import Clock
from fairlead.mail import outbox, worker
from fairlead.mail.port import Mailer
from fairlead.messages import Attachment
from fairlead.settings import Settings
from fairlead.store.database import Database
from fairlead.store.records import Mail

LATEST_S = 30.0
"""The outbox is looked at this often even when nobody says that a letter came."""
LEAST_S = 0.1


class Post:
    """All letters of the installation. Without a mail server they stay in the outbox, where they can be read."""

    def __init__(self, database: Database, bucket: Bucket, clock: Clock, settings: Settings) -> None:
        self._database, self._bucket, self._clock = database, bucket, clock
        self._mailer: Mailer | None = _mailer(settings.mail) if settings.mail else None
        self._wake = asyncio.Event()

    def put(
        self,
        session: Session,
        letter: Letter,
        now: datetime,
        attach: Sequence[Attachment] = (),
        *,
        by_platform: bool = False,
    ) -> Mail:
        """Write a letter into the outbox; raises what ``outbox.post`` raises. Call :meth:`nudge` after the commit."""
        return outbox.post(
            session,
            letter.to,
            letter.subject,
            letter.text,
            now,
            run=letter.run,
            attach=tuple(attach),
            by_platform=by_platform,
        )

    def nudge(self) -> None:
        """Have the outbox looked at now."""
        self._wake.set()

    async def run(self) -> None:
        """Send what is due until canceled."""
        while True:
            self._wake.clear()
            following = await worker.deliver(self._database, self._mailer, self._fetch, self._clock)
            wait_s = LATEST_S if following is None else (following - self._clock.now()).total_seconds()
            try:
                async with asyncio.timeout(max(LEAST_S, min(LATEST_S, wait_s))):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _fetch(self, key: str) -> bytes:
        return (await self._bucket.get(key)).data


def _mailer(url: str) -> Mailer:
    from fairlead.mail.smtp import SmtpMailer  # most installations have no mail server, and control starts often

    return SmtpMailer(url)
