"""Answers what runs ask through their keepers. The keeper vouches for which run asks; what it may do is held against
the records here once more."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts.policy import Caller, Role
from fairlead.apps import asks as app_asks
from fairlead.apps import versions
from fairlead.apps.letters import Letter
from fairlead.control.devicelink import DeviceLink
from fairlead.control.jobflow import JobFlow
from fairlead.control.parts import Parts
from fairlead.control.post import Post
from fairlead.devices import commands
from fairlead.devices.commands import Asked
from fairlead.errors import Conflict, NotFound
from fairlead.jobs import inputs
from fairlead.jobs import service as jobs
from fairlead.messages import (
    Answer,
    CommandAsk,
    CommandShow,
    FreshAsk,
    MailAsk,
    Message,
    ReadingsAsk,
    ReleaseAsk,
    RunJobShow,
    RunJobSubmit,
    StateGet,
    StatePut,
)
from fairlead.models import queries as model_queries
from fairlead.sdk.wire import CommandState
from fairlead.status import JobStatus, is_final
from fairlead.store.records import AppVersion, Command, Job, Run

WAIT_MAX_S = 25.0
MEDIA_MAX_BYTES = 4 * 1024**2
"""Larger last pictures are left out of an answer on the bus: the next reading brings them."""


class Asks:
    """One method a message; each answers JSON of ``sdk.wire``."""

    def __init__(self, parts: Parts, *, jobs: JobFlow, devices: DeviceLink, post: Post) -> None:
        self._parts, self._jobs, self._devices, self._post = parts, jobs, devices, post

    async def serve(self) -> None:
        """Begin to answer."""
        table: dict[type[Message], Callable[[Any], Any]] = {
            CommandAsk: self.command,
            CommandShow: self.command_show,
            ReleaseAsk: self.release,
            FreshAsk: self.fresh,
            ReadingsAsk: self.readings,
            StateGet: self.state_get,
            StatePut: self.state_put,
            MailAsk: self.mail,
            RunJobSubmit: self.job_submit,
            RunJobShow: self.job_show,
        }
        for kind, answer in table.items():
            await self._parts.bus.serve(kind, answer)

    async def command(self, ask: CommandAsk) -> Answer:
        now = self._parts.clock.now()
        return await self._asked(await self._parts.database.write(lambda session: app_asks.command(session, ask, now)))

    async def fresh(self, ask: FreshAsk) -> Answer:
        now = self._parts.clock.now()
        return await self._asked(await self._parts.database.write(lambda session: app_asks.fresh(session, ask, now)))

    async def command_show(self, ask: CommandShow) -> Answer:
        """Answer at once when nothing more will happen soon, else when something did, or after ``wait_s``."""
        clock = self._parts.clock
        deadline = clock.monotonic() + min(ask.wait_s, WAIT_MAX_S)
        with self._parts.waiters.ticket(f"commands/{ask.command}") as ticket:
            while True:
                row: Command = await self._parts.database.read(lambda s: app_asks.shown(s, ask.run, ask.command))
                left = deadline - clock.monotonic()
                if commands.is_settled(row) or left <= 0:
                    return _json(app_asks.state_of(row))
                await ticket.wait(left)

    async def release(self, ask: ReleaseAsk) -> Answer:
        now = self._parts.clock.now()
        await self._devices.send(await self._parts.database.write(lambda session: app_asks.release(session, ask, now)))
        self._devices.nudge()
        return _json(None)

    async def readings(self, ask: ReadingsAsk) -> Answer:
        now = self._parts.clock.now()
        found = await self._parts.database.read(lambda session: app_asks.last_values(session, ask, now))
        filled = []
        for measure, key in found:
            if not key:
                filled.append(measure)
                continue
            try:
                blob = await self._parts.bucket.get(key)
            except NotFound:
                continue  # it is older than its type keeps
            if len(blob.data) <= MEDIA_MAX_BYTES:
                filled.append(msgspec.structs.replace(measure, media=blob.data))
        return _json(filled)

    async def state_get(self, ask: StateGet) -> Answer:
        return _json(await self._parts.database.read(lambda session: app_asks.state_get(session, ask)))

    async def state_put(self, ask: StatePut) -> Answer:
        now = self._parts.clock.now()
        return _json(await self._parts.database.write(lambda session: app_asks.state_put(session, ask, now)))

    async def mail(self, ask: MailAsk) -> Answer:
        now = self._parts.clock.now()

        def write(session: Session) -> None:
            letter: Letter = app_asks.letter(session, ask)
            self._post.put(session, letter, now, attach=ask.attach)

        await self._parts.database.write(write)
        self._post.nudge()
        return _json(None)

    async def job_submit(self, ask: RunJobSubmit) -> Answer:
        now = self._parts.clock.now()

        def look(session: Session) -> jobs.Asked:
            run = session.get(Run, ask.run)
            if run is None:
                raise NotFound(f"there is no run {ask.run}", code="run_not_found", hint="it is over: fairlead runs")
            manifest = versions.manifest_of(session.get_one(AppVersion, (run.app, run.version)))
            if ask.role not in manifest.models:
                known = ", ".join(manifest.models) or "none"
                raise NotFound(
                    f"{run.app} uses no model {ask.role}",
                    code="role_not_found",
                    hint=f"name it in [models] of its fairlead.toml; there are: {known}",
                )
            name, _, ref = manifest.models[ask.role].partition("@")
            caller = _caller(run)
            ref = ref or model_queries.PRODUCTION
            version = model_queries.resolve(session, caller, name, ref, random.random())
            signature = model_queries.version_of(session, name, version).signature
            inputs.check(signature, "predict", ask.body)
            asked = jobs.Submission(
                id=ask.job,
                model=name,
                version=version,
                alias="" if ids.is_version(ref) else ref,
                body=None if ask.input_key else ask.body,
                input_key=ask.input_key,
                input_hash=ask.input_hash,
                content_type=ask.content_type,
                run=run.id,
            )
            return jobs.Asked(caller, asked, now, limits=self._jobs.limits)

        found = await self._parts.database.read(look)
        job = (await self._parts.database.write_joined(jobs.submit_all, found)).job
        self._jobs.nudge()
        return _json(_job_state(job))

    async def job_show(self, ask: RunJobShow) -> Answer:
        """Answer when the job ended, or after ``wait_s``."""
        clock = self._parts.clock
        if ask.cancel:
            await self._cancel(ask)
        deadline = clock.monotonic() + min(ask.wait_s, WAIT_MAX_S)
        with self._parts.waiters.ticket(ask.job) as ticket:
            while True:
                job = await self._parts.database.read(lambda session: _job_of(session, ask))
                left = deadline - clock.monotonic()
                if is_final(job.status) or left <= 0:
                    return _json(_with_result(job))
                await ticket.wait(left)

    async def _cancel(self, ask: RunJobShow) -> None:
        def find(session: Session) -> tuple[Caller, Job]:
            job = _job_of(session, ask)
            return _caller(session.get_one(Run, ask.run)), job

        with suppress(Conflict):  # it ended meanwhile: the answer tells how
            await self._jobs.cancel(find)

    async def _asked(self, asked: Asked) -> Answer:
        await self._devices.send(asked.outgoing)
        self._devices.nudge()
        state: CommandState = app_asks.state_of(asked.command)
        return _json(state)


def _with_result(job: Job) -> dict[str, Any]:
    """Return the state of a job with its result; one that lies in the bucket is the keeper's to fetch."""
    state = _job_state(job)
    if job.status is not JobStatus.SUCCEEDED:
        return state
    if job.result_key:
        return state | {"result_key": job.result_key, "result_type": job.result_type or ""}
    if (job.result_type or "").startswith("application/json"):
        return state | {"result": msgspec.json.decode(job.result or b"null")}
    encoded = base64.b64encode(job.result or b"").decode()
    return state | {"result_base64": encoded, "result_type": job.result_type or ""}


def _job_of(session: Session, ask: RunJobShow) -> Job:
    job = session.get(Job, ask.job)
    if job is None or job.run != ask.run:
        raise NotFound(
            f"there is no job {ask.job[:40]}", code="job_not_found", hint="a run sees the jobs that it submitted"
        )
    return job


def _caller(run: Run) -> Caller:
    """A run calls models as the person who scheduled it, and may do nothing else."""
    return Caller(run.user, frozenset({Role.USER}))


def _job_state(job: Job | jobs.Fresh) -> dict[str, Any]:
    ended = job.error if is_final(job.status) else None
    error = None if ended is None else {"code": ended.code, "message": ended.message, "hint": ended.hint}
    return {"id": job.id, "status": job.status.value, "reason": job.reason or None, "error": error}


def _json(value: Any) -> Answer:
    return Answer(value=msgspec.json.encode(value))
