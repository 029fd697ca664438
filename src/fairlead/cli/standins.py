"""The models of an app that is developed here: stand-ins from files, else those of the platform one is signed in to."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from fairlead.cli import session
from fairlead.errors import Error, Forbidden, Invalid, Unavailable
from fairlead.keeper.running.models_call import Reply
from fairlead.sdk.refusals import refusal_of

_EVENTS = "text/event-stream"
_HEADERS_BACK = ("content-type", "x-fairlead-version", "x-request-id", "retry-after")


class StandIns:
    """What a run's channel calls models by. ``files``: JSON answers by ``model@ref``, read at each call."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        self._here: session.Session | None = None
        self._client: httpx.AsyncClient | None = None

    def origin(self, ref: str) -> str:
        """Return who answers for ``ref``, nothing where nobody does. Raises :class:`Invalid`."""
        if ref in self.files:
            _read(self.files[ref])
            return str(self.files[ref])
        try:
            return self._session().url
        except (Forbidden, Invalid):
            return ""

    async def call(
        self, model_ref: str, body: bytes, content_type: str, accept: str, user: str, timeout_s: float
    ) -> Reply:
        """Return the answer; raises :class:`Error` where there is none."""
        if model_ref in self.files:
            headers = {"content-type": "application/json", "x-fairlead-version": "stand-in"}
            return Reply(200, headers, _read(self.files[model_ref]))
        client = self._opened(model_ref)
        headers = {"content-type": content_type, "accept": accept}
        request = client.build_request(
            "POST", f"/v1/models/{model_ref}/predict", content=body, headers=headers, timeout=timeout_s
        )
        try:
            answer = await client.send(request, stream=True)
            back = {name: answer.headers[name] for name in _HEADERS_BACK if name in answer.headers}
            if answer.headers.get("content-type", "").startswith(_EVENTS):
                return Reply(answer.status_code, back, b"", _Stream(model_ref, answer))
            return Reply(answer.status_code, back, await answer.aread())
        except httpx.HTTPError as error:
            raise _away(model_ref, error) from error

    async def job(self, model_ref: str, body: bytes, content_type: str) -> Mapping[str, Any]:
        """Do a job at once and return what the channel tells of its result; raises :class:`Error`."""
        reply = await self.call(model_ref, body, content_type, "*/*", "", 3600)
        if reply.status >= 400:
            raise refusal_of(httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body))
        kind = reply.headers.get("content-type", "")
        if kind.startswith("application/json"):
            return {"result": msgspec.json.decode(reply.body)}
        return {"result_base64": base64.b64encode(reply.body).decode(), "result_type": kind}

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _session(self) -> session.Session:
        if self._here is None:
            self._here = session.current()
        return self._here

    def _opened(self, ref: str) -> httpx.AsyncClient:
        if self._client is None:
            try:
                here = self._session()
            except Error as error:
                hint = f"--model ROLE=FILE.json gives one that answers for it; or {error.hint}"
                raise Unavailable(
                    f"{ref}: {error.message}, and no stand-in", code="model_missing", hint=hint
                ) from error
            tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=here.ca) if here.ca else True
            self._client = httpx.AsyncClient(
                base_url=here.url, headers={"authorization": f"Bearer {here.token}"}, verify=tls
            )
        return self._client


class _Stream:
    """Pieces of an answer of the platform."""

    def __init__(self, ref: str, answer: httpx.Response) -> None:
        self._ref, self._answer = ref, answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for block in self._answer.aiter_bytes():
                yield block
        except httpx.HTTPError as error:
            raise _away(self._ref, error) from error

    async def aclose(self) -> None:
        await self._answer.aclose()


def _read(file: Path) -> bytes:
    """Return the JSON text in ``file``; raises :class:`Invalid`."""
    try:
        data = file.read_bytes()
        msgspec.json.decode(data)
    except OSError as error:
        raise Invalid(f"{file}: {error.strerror}", code="stand_in_invalid", hint="--model ROLE=FILE.json") from error
    except msgspec.DecodeError as error:
        raise Invalid(f"{file} is no JSON: {error}", code="stand_in_invalid", hint="it holds the answer") from error
    return data


def _away(ref: str, error: Exception) -> Unavailable:
    said = f"{ref}: {error or type(error).__name__}"
    return Unavailable(said, code="unreachable", hint="is the platform up? see fairlead status", retry_after_s=1)
