"""Keeps results: their bytes into the bucket first, then the record that names them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts.policy import Caller
from fairlead.accounts.quotas import Defaults
from fairlead.buckets.keys import gallery_key
from fairlead.buckets.port import Bucket
from fairlead.clock import Clock
from fairlead.errors import Conflict, Error, NotFound, Unavailable
from fairlead.gallery import content, service
from fairlead.gallery.content import Taken
from fairlead.jobs import queries as jobs
from fairlead.models import queries as models
from fairlead.status import JobStatus
from fairlead.store.database import Database
from fairlead.store.records import GalleryEntry, Job
from fairlead.supervisor import bounds

READ_MAX_BYTES = 32 * 1024**2
"""An answer in JSON is searched for its file up to so many bytes; a longer one is kept as it is."""


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says of what they keep."""

    title: str = ""
    visibility: str = "private"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to a call that was no job, as its caller sends it."""

    model: str
    answer: Any
    inputs: dict[str, Any]
    ref: str = models.PRODUCTION
    endpoint: str = "predict"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the bytes come from: they are here, or lie in the bucket."""

    taken: Taken
    key: str = ""
    size: int = 0


class Gallery:
    """What control does for the gallery."""

    def __init__(self, database: Database, bucket: Bucket, clock: Clock, defaults: Defaults) -> None:
        self._database, self._bucket, self._clock, self._defaults = database, bucket, clock, defaults

    async def keep_job(self, who: Caller, prefix: str, said: Said) -> tuple[GalleryEntry, bool]:
        """Keep the result of a job, which no client need fetch for that; returns the entry and whether it is new.

        Raises :class:`NotFound`, :class:`Conflict` (``no_result``), and what the bucket raises.
        """
        service.check_words(said.title, said.visibility)

        def look(session: Session) -> tuple[Job, GalleryEntry | None]:
            job = jobs.get(session, who, prefix)
            return job, service.known(session, who, job.id)

        job, before = await self._database.read(look)
        if before is not None:
            return before, False
        if job.status is not JobStatus.SUCCEEDED:
            hint = f"fairlead jobs wait {job.id}"
            raise Conflict(f"{job.id} is {job.status}: it has no result", code="no_result", hint=hint)
        source = await self._of_job(job)
        inputs = content.fields_of_json(job.body, job.content_type)
        made = partial(
            service.Kept,
            source=job.id,
            job=job.id,
            model=job.model,
            version=job.version,
            endpoint=job.endpoint,
            inputs=inputs,
            made_at=job.finished_at or self._clock.now(),
        )
        return await self._keep(who, source, made, said)

    async def keep_answer(self, who: Caller, answered: Answered, said: Said) -> tuple[GalleryEntry, bool]:
        """Keep the answer to a call; returns the entry and whether it is new. Raises as the model's lookup does."""
        service.check_words(said.title, said.visibility)
        version = await self._database.read(lambda s: models.resolve(s, who, answered.model, answered.ref))
        taken = await asyncio.to_thread(content.of_answer, answered.answer)
        inputs = content.fields(answered.inputs)
        told = content.source_of(answered.model, version, answered.endpoint, inputs, taken)
        made = partial(
            service.Kept,
            source=told,
            model=answered.model,
            version=version,
            endpoint=answered.endpoint,
            inputs=inputs,
            made_at=self._clock.now(),
        )
        return await self._keep(who, _Source(taken, size=len(taken.content)), made, said)

    async def remove(self, who: Caller, name: str) -> None:
        """Take an entry down, and its bytes out of the bucket; those that stay are swept up later."""
        now = self._clock.now()
        key = await self._database.write(lambda session: service.remove(session, who, name, now))
        with contextlib.suppress(Unavailable):
            await self._bucket.delete(key)

    async def _of_job(self, job: Job) -> _Source:
        kind = bounds.media_type(job.result_type or content.JSON)
        is_json = kind.partition(";")[0].strip() == content.JSON
        if not job.result_key:
            body = job.result or b""
            taken = await asyncio.to_thread(content.of_json, body) if is_json else Taken(body, kind)
            return _Source(taken, size=len(taken.content))
        try:
            size = (await self._bucket.head(job.result_key)).size
            if is_json and size <= READ_MAX_BYTES:
                blob = await self._bucket.get(job.result_key)
                taken = await asyncio.to_thread(content.of_json, blob.data)
                return _Source(taken, size=len(taken.content))
        except NotFound as error:
            raise NotFound(f"the result of {job.id} is gone", code="result_gone", hint="submit it again") from error
        return _Source(Taken(b"", kind), job.result_key, size)

    async def _keep(
        self, who: Caller, source: _Source, made: partial[service.Kept], said: Said
    ) -> tuple[GalleryEntry, bool]:
        now, entry = self._clock.now(), ids.new("gal")
        key = gallery_key(entry)
        await self._database.read(lambda session: service.check_room(session, who, source.size, self._defaults))
        digest = await self._put(key, source)
        kept = made(
            id=entry,
            key=key,
            content_type=source.taken.content_type,
            outputs=source.taken.outputs,
            size_bytes=source.size,
            sha256=digest,
            title=said.title,
            visibility=said.visibility,
        )
        try:
            found, is_new = await self._database.write(partial(self._write, who=who, kept=kept, now=now))
        except Error as refused:
            if refused.code != "database_unavailable":  # nobody knows whether it was written then
                await self._bucket.delete(key)
            raise
        if not is_new:
            await self._bucket.delete(key)
        return found, is_new

    def _write(self, session: Session, who: Caller, kept: service.Kept, now: datetime) -> tuple[GalleryEntry, bool]:
        return service.keep(session, who, kept, self._defaults, now)

    async def _put(self, key: str, source: _Source) -> str:
        """Put the bytes under ``key``; returns their SHA-256. What lies in the bucket is never whole in here."""
        digest, kind = hashlib.sha256(source.taken.content), source.taken.content_type
        if not source.key:
            await self._bucket.put(key, source.taken.content, content_type=kind)
            return digest.hexdigest()

        async def blocks() -> AsyncIterator[bytes]:
            async for block in self._bucket.stream(source.key):
                digest.update(block)
                yield block

        await self._bucket.put(key, blocks(), content_type=kind)
        return digest.hexdigest()
