"""The bare way to keep a call (ADR 29, 38): what many ask for each second does not go through the whole application.

The front door leads small calls here that are to be kept and whose callers wait for nothing else. They are answered by
:mod:`fairlead.api.kept`, as by the application's own route, which takes all others. Spoken is RSGI, the server's own
interface: https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from fastapi import FastAPI, Request, Response
from granian._granian import RSGIHTTPProtocol, RSGIProtocolClosed, RSGIProtocolError
from granian.rsgi import Scope
from starlette.exceptions import HTTPException

from fairlead.api import errors, kept
from fairlead.api.call import Call
from fairlead.api.limits import STALLED_S
from fairlead.messages import INLINE_MAX_BYTES

PATH = re.compile(r"/v1/models/(?P<ref>[^/]+)(?:/(?P<entry>[^/]+))?/jobs")


class Patience:
    """Ends what takes too long with :class:`TimeoutError`, to the second: one timer for all, where one each would cost
    more than what it waits for. A context manager."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._since: dict[asyncio.Task[Any], float] = {}
        self._over: set[asyncio.Task[Any]] = set()
        self._ticking = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._since[task] = time.monotonic()
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(1.0, self._tick)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._since.pop(task, None)
        if task in self._over:
            self._over.discard(task)
            if task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TimeoutError

    def _tick(self) -> None:
        border = time.monotonic() - self._most_s
        for task in [task for task, since in self._since.items() if since <= border]:
            del self._since[task]
            self._over.add(task)
            task.cancel()
        self._ticking = bool(self._since)
        if self._ticking:
            asyncio.get_running_loop().call_later(1.0, self._tick)


class Door:
    """RSGI application for ``POST /v1/models/{ref}[/{entry}]/jobs``; ``app`` is the whole one, asked for refusals."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._patience = Patience(STALLED_S)

    async def __rsgi__(self, scope: Scope, protocol: RSGIHTTPProtocol) -> None:
        try:
            asked = PATH.fullmatch(scope.path)
            if asked is None or scope.method != "POST":
                raise HTTPException(404, "Not Found")
            body = await self._body(scope, protocol)
            call = Call(scope.headers, scope.query_string, body, lambda: self._request(scope))
            _, job = await kept.keep(self._app.state.house, call, asked["ref"], asked["entry"] or "predict")
            protocol.response_bytes(202, *kept.accepted(job))
        except (RSGIProtocolClosed, RSGIProtocolError):
            return  # the caller has gone
        except Exception as error:  # noqa: BLE001 - the edge of a request: whatever it is has an answer
            _refuse(protocol, errors.answer(error, self._request(scope)))

    async def _body(self, scope: Scope, protocol: RSGIHTTPProtocol) -> bytes:
        """Return the body; raises :class:`HTTPException`: 413 where it is not said to be small, 408 where it does not
        come."""
        said = scope.headers.get("content-length", "")
        if not said.isdigit() or int(said) > INLINE_MAX_BYTES:
            raise HTTPException(413, f"the body is not said to have at most {INLINE_MAX_BYTES} bytes")
        try:
            with self._patience:
                return await protocol()
        except TimeoutError:
            raise HTTPException(408, "the body did not arrive in time") from None

    def _request(self, scope: Scope) -> Request:
        """Return the request as the application would have it."""
        return Request(
            {
                "type": "http",
                "app": self._app,
                "method": scope.method,
                "scheme": scope.scheme,
                "path": scope.path,
                "query_string": scope.query_string.encode("latin-1"),
                "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()],
            }
        )


def _refuse(protocol: RSGIHTTPProtocol, answer: Response) -> None:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.raw_headers]
    protocol.response_bytes(answer.status_code, headers, bytes(answer.body))
