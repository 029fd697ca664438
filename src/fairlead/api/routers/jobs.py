"""Durable calls: submitted at the model's path, followed below ``/api/v1/jobs``."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller
from fairlead.api import kept, results
from fairlead.api.call import Call
from fairlead.api.deps import TheHouse, Who
from fairlead.api.errors import request_id
from fairlead.api.stream import event, sse
from fairlead.api.views.base import Page, page
from fairlead.api.views.jobs import (
    CallbackView,
    JobView,
    LinkView,
    SecretMadeView,
    callback_view,
    job_view,
    link_view,
)
from fairlead.control.house import House
from fairlead.control.partials import key_of
from fairlead.errors import Busy, Conflict, Invalid, NotFound, Unavailable
from fairlead.identity import links
from fairlead.jobs import callbacks, queries, service
from fairlead.status import JobStatus, is_final
from fairlead.store.records import Job

calls = APIRouter(tags=["calls"])
router = APIRouter(tags=["jobs"])
shared = APIRouter(tags=["links"])
"""What a signature opens, and no token."""
BUSY_S = 1.0
"""Who follows a job looks again after so long where too many wait for the database."""


@calls.post("/v1/models/{ref}/{entry}", status_code=202)
@calls.post("/v1/models/{ref}/{entry}/jobs", status_code=202)
@calls.post("/v1/models/{ref}/jobs", status_code=202)  # the last one is tried first
async def submit(ref: str, request: Request, house: TheHouse, entry: str = "predict") -> Response:
    """Keep a call: 202 once it is on disk; with ``Prefer: wait=N`` the result, if it is there in time.

    Small ones do not come this way: see ``fairlead.api.door``.
    """
    return await kept.respond(house, Call.of(request), ref, entry)


@router.get("/jobs")
async def list_jobs(
    house: TheHouse,
    who: Who,
    model: str | None = None,
    status: JobStatus | None = None,
    before: str | None = None,
    limit: int = 50,
) -> Page[JobView]:
    found = await house.database.read(
        lambda s: queries.list_of(s, who, model=model, status=status, before=before, limit=limit)
    )
    return page([job_view(job) for job in found], found[-1].id if len(found) == limit else None)


@router.get("/jobs/{job}")
async def show(job: str, house: TheHouse, who: Who, wait: float = 0, told: int | None = None) -> JobView:
    """Return a job; ``wait`` holds the answer until it ended, or for so many seconds.

    With ``told`` the answer comes also when an attempt after that one (by number) has failed.
    """
    found = (
        await kept.wait_for(house, who, job, wait, told)
        if wait > 0
        else await house.database.read(lambda session: queries.get(session, who, job))
    )
    return job_view(found, await results.link(house, found, results.LINK_S))


@router.get("/jobs/{job}/result")
async def result(job: str, request: Request, house: TheHouse, who: Who) -> Response:
    """Return what the job answered, as the model gave it."""
    found = await house.database.read(lambda session: queries.get(session, who, job))
    if not is_final(found.status):
        raise Unavailable(
            f"{found.id} is {found.status}", code="not_ready", hint=f"fairlead jobs wait {found.id}", retry_after_s=1
        )
    return await kept.outcome(house, found, request)


@router.get("/jobs/{job}/link")
async def link(job: str, house: TheHouse, who: Who, for_s: float = results.LINK_S) -> LinkView:
    """Return a link to the result that anybody who has it may GET without a token, for so many seconds."""
    if not 1 <= for_s <= links.LONGEST_S:
        raise Invalid(
            f"a link holds for 1 to {links.LONGEST_S} seconds",
            code="link_too_long",
            hint="for_s=3600; fairlead jobs link JOB --for 3600",
        )
    found = await house.database.read(lambda session: queries.get(session, who, job))
    made = await results.link(house, found, for_s)
    if made is None:
        hint = f"fairlead jobs show {found.id}"
        raise Conflict(f"{found.id} is {found.status}: it has no result", code="no_result", hint=hint)
    return link_view(made)


@shared.get("/links/jobs/{job}", include_in_schema=False)
async def linked(job: str, request: Request, house: TheHouse, expires: str = "", signature: str = "") -> Response:
    """Return the result of a job to whoever has a link to it."""
    links.check(house.sealer, request.url.path, expires, signature, house.clock.now())
    found = await house.database.read(lambda session: session.get(Job, job))
    if found is None:
        raise NotFound("the result is gone", code="result_gone", hint="jobs and their results are kept seven days")
    headers = {"Content-Disposition": f'attachment; filename="{found.id}"', "X-Request-Id": request_id(request)}
    return await results.answer(house, found, request, headers)


@router.get("/jobs/{job}/events")
async def follow(job: str, house: TheHouse, who: Who) -> StreamingResponse:
    found = await house.database.read(lambda session: queries.get(session, who, job))
    return sse(house, who, _events(house, who, found.id))


@router.get("/jobs/{job}/callbacks")
async def list_callbacks(job: str, house: TheHouse, who: Who) -> Page[CallbackView]:
    """Return what was told, or is to be told, of a job: one each time that it ended."""
    return await house.database.read(
        lambda s: page([callback_view(one) for one in callbacks.of_job(s, queries.get(s, who, job))])
    )


@router.post("/callbacks/secret", status_code=201)
async def new_callback_secret(house: TheHouse, who: Who) -> SecretMadeView:
    """Make the secret that signs one's callbacks, shown only now; the one before signs as well for a day."""
    now = house.clock.now()
    secret = await house.database.write(lambda s: callbacks.new_secret(s, who, now, house.sealer))
    return SecretMadeView(secret=secret)


@router.delete("/jobs/{job}")
async def cancel(job: str, house: TheHouse, who: Who) -> JobView:
    """Cancel a job; 409 ``job_ended`` for one that has succeeded or failed."""
    return job_view(await house.jobs.cancel(lambda session: (who, queries.get(session, who, job))))


@router.post("/jobs/{job}/replay")
async def replay(job: str, house: TheHouse, who: Who) -> JobView:
    """Do a failed or canceled job again; with the version that answers now, where no alias names its own any more."""
    now, chance = house.clock.now(), random.random()
    changed = await house.database.write(
        lambda session: service.replay(
            session, who, queries.get(session, who, job), now, house.quotas, chance, house.jobs.limits
        )
    )
    house.jobs.nudge()
    return job_view(changed)


async def _events(house: House, who: Caller, job_id: str) -> AsyncIterator[bytes]:
    last, epoch, number = None, 0, -1
    view: JobView | None = None

    def look(session: Session) -> Job:
        return queries.get(session, who, job_id)

    with house.waiters.ticket(job_id, key_of(job_id)) as ticket:
        while not house.closing.is_set():
            told, pieces = house.jobs.partials.after(job_id, epoch, number)
            if view is None or told != epoch or ticket.heard != {key_of(job_id)}:  # else the ledger says what it said
                try:  # any number may follow one job, and all are woken at once
                    job = await house.database.read_shared(("follow", job_id, who), look)
                except Busy:
                    view = None
                    await ticket.wait(BUSY_S)
                    continue
                view = job_view(job)
                told, pieces = house.jobs.partials.after(job_id, epoch, number)
            epoch, number = told, number if told == epoch else -1
            for number, piece in pieces:
                said = {"attempt": view.attempts, "index": number, "piece": msgspec.json.decode(piece)}
                yield event("partial", said)
            if is_final(job.status):
                yield event("done" if job.status is JobStatus.SUCCEEDED else "error", view.model_dump())
                return
            if view != last:
                last = view
                yield event("progress", view.model_dump())
            await ticket.wait(5)
            await asyncio.sleep(0)
