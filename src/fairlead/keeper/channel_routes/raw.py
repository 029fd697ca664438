"""What a run's channel answers to bytes that are no request: the one shape of errors, and no line in the log."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from fairlead.errors import Internal, Invalid
from fairlead.keeper.channel_routes.answers import refusal

_log = logging.getLogger(__name__)


class Connection(RequestHandler):
    """A connection of a channel. aiohttp's own answers with plain text and logs a traceback for each bad request."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what could not be read or served; the connection is closed with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: nothing can be said any more")
        if status < 500:
            hint = "HTTP/1.1; a path has ASCII only: é is written %C3%A9"
            answer = refusal(Invalid("this is no correct request", code="bad_request", hint=hint), status)
        else:
            _log.error("a request of a run failed", exc_info=exc)
            answer = refusal(Internal("something failed on our side", hint="fairlead logs keeper"), status)
        answer.force_close()
        return answer


def connection(server: web.Server) -> Connection:
    """Return what speaks to the next connection of ``server``."""
    made = server()
    made.__class__ = Connection  # the server makes its own kind only, from arguments that are its own affair
    assert isinstance(made, Connection)
    return made
