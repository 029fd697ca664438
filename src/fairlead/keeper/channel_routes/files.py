"""Files of schedules, and mail with what is attached to it."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from fairlead.bus.port import Bus
from fairlead.errors import Invalid
from fairlead.keeper.channel_routes.answers import answer, parse
from fairlead.keeper.channel_routes.grant import Grant
from fairlead.keeper.channel_routes.models import JobFiles
from fairlead.keeper.running.asks import ask
from fairlead.messages import Attachment, MailAsk
from fairlead.sdk.wire import MEDIA_MAX_BYTES, MailBody, Names


class RunFiles(JobFiles, Protocol):
    """Where files of schedules lie, and what is large of jobs."""

    async def put(self, schedule: str, name: str, data: bytes) -> str:
        """Keep a file and return its key; raises :class:`fairlead.errors.Error` (``quota``)."""

    async def get(self, schedule: str, name: str) -> bytes:
        """Return a file; raises :class:`NotFound`."""

    async def list(self, schedule: str) -> tuple[str, ...]:
        """Return the names, sorted."""

    async def attach(self, run: str, name: str, data: bytes) -> str:
        """Keep an attachment of a mail and return its key."""


class FileRoutes:
    """``/files`` and ``/mail``."""

    def __init__(self, grant: Grant, files: RunFiles, bus: Bus) -> None:
        self._grant = grant
        self._files = files
        self._bus = bus

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/files", self._list),
            web.get("/files/{name}", self._get),
            web.put("/files/{name}", self._put),
            web.post("/mail", self._mail),
        ]

    async def _list(self, _request: web.Request) -> web.Response:
        return answer(Names(await self._files.list(self._grant.run.schedule)))

    async def _get(self, request: web.Request) -> web.Response:
        return web.Response(body=await self._files.get(self._grant.run.schedule, request.match_info["name"]))

    async def _put(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > MEDIA_MAX_BYTES:
            said = f"{len(body)} bytes are more than {MEDIA_MAX_BYTES}"
            raise Invalid(said, code="file_too_large", hint="keep it in several files")
        await self._files.put(self._grant.run.schedule, request.match_info["name"], body)
        return web.Response(status=204)

    async def _mail(self, request: web.Request) -> web.Response:
        mail, run = parse(await request.read(), MailBody), self._grant.run.run
        if sum(len(item.content) for item in mail.attach) > MEDIA_MAX_BYTES:
            raise Invalid(
                f"the attachments are more than {MEDIA_MAX_BYTES} bytes", code="mail_too_large", hint="attach less"
            )
        attach = [
            Attachment(item.name, await self._files.attach(run, item.name, item.content), item.content_type)
            for item in mail.attach
        ]
        await ask(self._bus, MailAsk(run, mail.subject, mail.text, mail.to, tuple(attach)), again=False)
        return web.Response(status=202)
