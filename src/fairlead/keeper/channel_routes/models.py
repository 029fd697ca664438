"""Calls and jobs of models on behalf of a run."""

from __future__ import annotations

from aiohttp import web

from fairlead.bus.port import Bus
from fairlead.errors import Invalid
from fairlead.keeper.channel_routes.answers import answer_text, seconds
from fairlead.keeper.channel_routes.grant import Grant
from fairlead.keeper.running.asks import ASK_S, ask
from fairlead.keeper.running.models_call import ModelCaller
from fairlead.messages import RunJobShow, RunJobSubmit

_MODEL_S = 300.0
_JOB_MAX_BYTES = 512 * 1024
"""Of a job's input: it goes over the bus, whose messages hold 1 MB."""
_JOB_WAIT_MAX_S = 20.0


class ModelRoutes:
    """``/models`` and ``/jobs``."""

    def __init__(self, grant: Grant, models: ModelCaller, bus: Bus) -> None:
        self._grant = grant
        self._models = models
        self._bus = bus

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/models/{role}/predict", self._predict),
            web.post("/models/{role}/jobs", self._submit),
            web.get("/jobs/{job}", self._job),
            web.delete("/jobs/{job}", self._job),
        ]

    async def _predict(self, request: web.Request) -> web.Response:
        self._grant.check_window()
        reply = await self._models.call(
            self._grant.model(request.match_info["role"]),
            await request.read(),
            request.headers.get("content-type", "application/json"),
            request.headers.get("accept", "*/*"),
            self._grant.run.user,
            _MODEL_S,
        )
        return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)

    async def _submit(self, request: web.Request) -> web.Response:
        role = request.match_info["role"]
        self._grant.check_window()
        self._grant.model(role)
        body = await request.read()
        if len(body) > _JOB_MAX_BYTES:
            raise Invalid(
                f"{len(body)} bytes are more than the {_JOB_MAX_BYTES} of a job's input",
                code="job_too_large",
                hint="send a smaller input",
            )
        content_type = request.headers.get("content-type", "application/json")
        message = RunJobSubmit(self._grant.run.run, role, body, content_type)
        return answer_text(await ask(self._bus, message, again=False), 202)

    async def _job(self, request: web.Request) -> web.Response:
        wait_s = min(seconds(request, "wait") or 0.0, _JOB_WAIT_MAX_S)
        job, cancel = request.match_info["job"], request.method == "DELETE"
        message = RunJobShow(self._grant.run.run, job, wait_s, cancel)
        return answer_text(await ask(self._bus, message, wait_s + ASK_S))
