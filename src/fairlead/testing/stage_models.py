"""The models of a stage: they answer what a test says, at once or in pieces, to calls and to jobs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from fairlead import ids
from fairlead.clock import Clock
from fairlead.errors import Error, Internal, Invalid, NotFound, Problem, Unavailable
from fairlead.keeper.running.models_call import Reply
from fairlead.messages import Answer, RunJobShow, RunJobSubmit
from fairlead.sdk.calls import encode_json
from fairlead.sdk.files import File
from fairlead.sdk.invalid import InvalidInput
from fairlead.sdk.wire import ErrorBody, Refusal

_EVENTS = "text/event-stream"
_HEADERS = {"x-fairlead-version": "1"}
_JSON = "application/json"


@dataclass
class _Said:
    """What the model of a role answers."""

    answer: Any
    takes_s: float


class StageJob:
    """A job that the app submitted."""

    def __init__(self, id: str, role: str, doing: asyncio.Task[Reply]) -> None:
        self.id = id
        self.role = role
        self.doing = doing
        self.ended = asyncio.Event()
        doing.add_done_callback(lambda _: self.ended.set())

    @property
    def status(self) -> str:
        """running, succeeded, failed or canceled."""
        if not self.doing.done():
            return "running"
        if self.doing.cancelled():
            return "canceled"
        return "failed" if self.doing.exception() else "succeeded"

    def told(self) -> Mapping[str, Any]:
        """Return what the channel tells of it."""
        found: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.status == "failed":
            error = self.doing.exception()
            assert isinstance(error, Error)
            return found | {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        if self.status == "succeeded":
            reply = self.doing.result()
            kind = reply.headers["content-type"]
            if kind == _JSON:
                return found | {"result": msgspec.Raw(reply.body)}
            return found | {"result_base64": reply.body, "result_type": kind}
        return found


class Models:
    """What calls models and does jobs for the run of a stage."""

    def __init__(self, clock: Clock) -> None:
        self.jobs: list[StageJob] = []
        """Oldest first."""
        self.inputs: dict[str, bytes] = {}
        """Of jobs whose input was too long for their request, by key."""
        self.busy = 0
        """Answers in the making that do not wait for the stage's time."""
        self.waiting = 0
        """Requests of the app that wait for the stage's time to pass."""
        self._said: dict[str, _Said] = {}
        self._ended = asyncio.Event()
        self._clock = clock

    def say(self, role: str, answer: Any, takes_s: float) -> None:
        """Have the model of ``role`` answer this, ``takes_s`` of the stage's seconds after it was called."""
        self._said[role] = _Said(answer, takes_s)

    async def call(
        self, model_ref: str, body: bytes, content_type: str, accept: str, user: str, timeout_s: float
    ) -> Reply:
        """Return what the test said that the model of this role answers; raises :class:`Error`."""
        said = self._of(model_ref)
        with self.at_work():
            await self.pass_time(said.takes_s)
            answer = await _made(said.answer, body, content_type)
            if not _is_stream(answer):
                return _reply(answer)
            if _EVENTS in accept:
                return Reply(200, {**_HEADERS, "content-type": _EVENTS}, b"", _Pieces(self, answer, said.takes_s))
            return _reply([piece async for piece in _each(answer)])

    async def submit(self, ask: RunJobSubmit) -> Answer:
        """Begin a job."""
        said = self._of(ask.role)
        body = self.inputs.pop(ask.input_key, ask.body)
        job = ask.job or ids.new("job")
        doing = asyncio.create_task(self._do(said, body, ask.content_type), name=job)
        self.jobs.append(StageJob(job, ask.role, doing))
        return Answer(value=msgspec.json.encode({"id": job, "status": "queued"}))

    async def show(self, ask: RunJobShow) -> Answer:
        """Tell of a job once it is done, or after ``wait_s`` of the stage's seconds; raises :class:`NotFound`."""
        job = next((one for one in self.jobs if one.id == ask.job), None)
        if job is None:
            raise NotFound(f"there is no job {ask.job}", code="job_not_found", hint="submit() returns them")
        if ask.cancel:
            job.doing.cancel()
            await asyncio.wait((job.doing,))
        elif not job.doing.done():
            await self._until(job.ended, ask.wait_s)
        return Answer(value=msgspec.json.encode(job.told()))

    async def close(self) -> None:
        """End what is being done, and who waits for it."""
        self._ended.set()
        for job in self.jobs:
            job.doing.cancel()
        await asyncio.gather(*(job.doing for job in self.jobs), return_exceptions=True)

    async def _do(self, said: _Said, body: bytes, content_type: str) -> Reply:
        await self._clock.sleep(said.takes_s)  # nobody waits for it but who asks for its result
        with self.at_work():
            answer = await _made(said.answer, body, content_type)
            return _reply([piece async for piece in _each(answer)] if _is_stream(answer) else answer)

    async def pass_time(self, seconds: float) -> None:
        """Wait for the stage's time to pass; within :meth:`at_work`."""
        if seconds <= 0:
            return
        self.busy -= 1
        try:
            await self._until(self._ended, seconds)
        finally:
            self.busy += 1
        if self._ended.is_set():
            raise Unavailable("the run has ended", code="app_ended")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the block make an answer; what it raises is what the caller is told."""
        self.busy += 1
        try:
            yield
        except Exception as error:
            raise _refused(error) from error
        finally:
            self.busy -= 1

    async def _until(self, done: asyncio.Event, wait_s: float) -> None:
        """Return when it is done, or when so many of the stage's seconds have passed."""
        tasks = [asyncio.create_task(each) for each in (done.wait(), self._clock.sleep(wait_s))]
        self.waiting += 1
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.waiting -= 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _of(self, role: str) -> _Said:
        if role not in self._said:
            raise NotFound(f"no answer for {role}", code="no_answer", hint=f'stage.model("{role}", …)')
        return self._said[role]


class _Pieces:
    """An answer that comes in pieces, as server-sent events."""

    def __init__(self, models: Models, answer: Any, takes_s: float) -> None:
        self._models, self._pieces, self._takes_s = models, _each(answer), takes_s
        self._count = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                with self._models.at_work():
                    if self._count:
                        await self._models.pass_time(self._takes_s)
                    piece = await anext(self._pieces, _END)
                if piece is _END:
                    break
                self._count += 1
                yield b"data: %b\n\n" % encode_json(piece)
        except Error as error:
            said = Refusal(ErrorBody(error.code, error.message, error.hint))
            yield b"event: error\ndata: %b\n\n" % msgspec.json.encode(said)
        else:
            yield b'event: done\ndata: {"pieces": %d}\n\n' % self._count

    async def aclose(self) -> None:
        await self._pieces.aclose()  # type: ignore[attr-defined] # an async generator


_END = object()


async def _made(answer: Any, body: bytes, content_type: str) -> Any:
    """Return the answer; a function is called with the value of the body, and may be async or a generator."""
    if callable(answer):
        answer = answer(msgspec.json.decode(body) if content_type.startswith(_JSON) else body)
    return await answer if inspect.isawaitable(answer) else answer


def _is_stream(answer: Any) -> bool:
    return isinstance(answer, Iterator | AsyncIterator)


async def _each(answer: Any) -> AsyncIterator[Any]:
    """Yield the pieces; what makes them is closed with this."""
    try:
        if isinstance(answer, AsyncIterator):
            async for piece in answer:
                yield piece
        else:
            for piece in answer:
                yield piece
    finally:
        if inspect.isasyncgen(answer):
            await answer.aclose()
        elif inspect.isgenerator(answer):
            answer.close()


def _reply(answer: Any) -> Reply:
    if isinstance(answer, File):
        return Reply(200, {**_HEADERS, "content-type": answer.media_type}, answer.read())
    return Reply(200, {**_HEADERS, "content-type": _JSON}, encode_json(answer))


def _refused(error: Exception) -> Error:
    """Return what a model's caller is told of an error in it."""
    if isinstance(error, Error):
        return error
    if isinstance(error, InvalidInput):
        text = f"{error.field}: {error.message}" if error.field else error.message
        return Invalid(text, problems=(Problem(path=error.field or "", rule="model", message=error.message),))
    return Internal(f"the model failed: {type(error).__name__}: {error}", code="model_failed", hint="look at the test")
