"""Calls and jobs of models on behalf of a run."""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec
from aiohttp import web

from fairlead import ids
from fairlead.bus.port import Bus
from fairlead.errors import Error
from fairlead.keeper.channel_routes.answers import answer_text, seconds
from fairlead.keeper.channel_routes.grant import Grant
from fairlead.keeper.running.asks import ASK_S, ask
from fairlead.keeper.running.models_call import ModelCaller, Pieces, Reply
from fairlead.messages import RunJobShow, RunJobSubmit
from fairlead.sdk.wire import ErrorBody, Refusal

_MODEL_S = 300.0
_INLINE_BYTES = 64 * 1024
"""Longer inputs of jobs go to control by way of the bucket."""
_JOB_WAIT_MAX_S = 20.0


class JobFiles(Protocol):
    """Where inputs and results of jobs lie."""

    async def put_input(self, model: str, job: str, data: bytes, content_type: str) -> str:
        """Keep the input of a job and return its key."""

    async def get_result(self, key: str) -> bytes:
        """Return a result; raises :class:`NotFound` (``result_gone``)."""


class _Kept(msgspec.Struct):
    """What control says of a result that it did not send."""

    result_key: str = ""
    result_type: str = ""


class ModelRoutes:
    """``/models`` and ``/jobs``."""

    def __init__(self, grant: Grant, models: ModelCaller, bus: Bus, files: JobFiles) -> None:
        self._grant = grant
        self._models = models
        self._bus = bus
        self._files = files

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/models/{role}/predict", self._predict),
            web.post("/models/{role}/jobs", self._submit),
            web.get("/jobs/{job}", self._job),
            web.delete("/jobs/{job}", self._job),
        ]

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        self._grant.check_window()
        reply = await self._models.call(
            self._grant.model(request.match_info["role"]),
            await request.read(),
            request.headers.get("content-type", "application/json"),
            request.headers.get("accept", "*/*"),
            self._grant.run.user,
            _MODEL_S,
        )
        if reply.pieces is not None:
            return await _passed_on(request, reply, reply.pieces)
        return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)

    async def _submit(self, request: web.Request) -> web.Response:
        role = request.match_info["role"]
        self._grant.check_window()
        model = self._grant.model(role).partition("@")[0]
        body = await request.read()
        content_type = request.headers.get("content-type", "application/json")
        message = RunJobSubmit(self._grant.run.run, role, body, content_type)
        if len(body) > _INLINE_BYTES:
            job = ids.new("job")
            key = await self._files.put_input(model, job, body, content_type)
            digest = hashlib.sha256(body).hexdigest()
            message = msgspec.structs.replace(message, body=b"", job=job, input_key=key, input_hash=digest)
        return answer_text(await ask(self._bus, message, again=False), 202)

    async def _job(self, request: web.Request) -> web.Response:
        wait_s = min(seconds(request, "wait") or 0.0, _JOB_WAIT_MAX_S)
        job, cancel = request.match_info["job"], request.method == "DELETE"
        message = RunJobShow(self._grant.run.run, job, wait_s, cancel)
        return answer_text(await self._with_result(await ask(self._bus, message, wait_s + ASK_S)))

    async def _with_result(self, text: bytes) -> bytes:
        """Return the state of a job with its result in it, fetched from the bucket where it lies there."""
        kept = msgspec.json.decode(text, type=_Kept)
        if not kept.result_key:
            return text
        data = await self._files.get_result(kept.result_key)
        state = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        del state["result_key"]
        if kept.result_type.startswith("application/json"):
            del state["result_type"]
            return msgspec.json.encode(state | {"result": msgspec.Raw(data)})
        return msgspec.json.encode(state | {"result_base64": data})


async def _passed_on(request: web.Request, reply: Reply, pieces: Pieces) -> web.StreamResponse:
    """Pass the pieces of a model on as they come; where they break off the last event says why.

    An app that leaves has the model hung up on.
    """
    response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
    try:
        await response.prepare(request)
        try:
            async for block in pieces:
                await response.write(block)
        except Error as error:
            said = Refusal(ErrorBody(error.code, error.message, error.hint))
            await response.write(b"\n\nevent: error\ndata: %b\n\n" % msgspec.json.encode(said))
        await response.write_eof()
    finally:
        await pieces.aclose()
    return response
