"""Calls that are kept as jobs: what answers ``POST /v1/models/{name}[@ref]/jobs``, by whichever way it came."""

from __future__ import annotations

import random

import msgspec
from fastapi import Request
from fastapi.responses import Response

from fairlead.accounts.policy import Caller
from fairlead.api import asking, results
from fairlead.api.call import Call
from fairlead.api.deps import bearer_of, token_of
from fairlead.api.errors import request_id
from fairlead.api.views.jobs import job_fields
from fairlead.control.house import House
from fairlead.errors import Error
from fairlead.identity.tokens import verify
from fairlead.jobs import callbacks, queries, submitting
from fairlead.status import JobStatus, is_final
from fairlead.store.records import Job


async def respond(house: House, call: Call, ref: str, entry: str) -> Response:
    """Keep a call: 202 once it is on disk; with ``Prefer: wait=N`` the result, if it is there in time.

    Raises what :func:`keep` raises.
    """
    caller, kept = await keep(house, call, ref, entry)
    if wait_s := asking.wait_s(call):
        job = await wait_for(house, caller, kept.id, wait_s)
        if is_final(job.status):
            return await outcome(house, job, call.request)
        kept = job
    headers, body = accepted(kept)
    return Response(body, 202, dict(headers))


async def keep(house: House, call: Call, ref: str, entry: str) -> tuple[Caller, Job | submitting.Fresh]:
    """Return who calls and the job, once it is on disk.

    Raises :class:`fairlead.errors.Error` for what is refused, and what the bucket raises.
    """
    now = house.clock.now()
    token = bearer_of(call.headers) or token_of(call.request)
    claims = verify(token, keys=house.keys, now=now, denied=house.denied)
    meant = await house.directory.meaning(claims, ref)
    asked = await asking.submission(call, house, meant.pick(random.random()), entry, now, meant.alias)
    submitted = await _keep(
        house, submitting.Asked(meant.caller, asked, now, house.quotas, house.jobs.limits, meant.most)
    )
    return meant.caller, submitted.job


def accepted(job: Job | submitting.Fresh) -> tuple[list[tuple[str, str]], bytes]:
    """Return headers and body of the 202 that tells of a job."""
    fields = job_fields(job)
    return [("location", fields["links"]["self"]), ("content-type", "application/json")], msgspec.json.encode(fields)


async def _keep(house: House, asked: submitting.Asked) -> submitting.Submitted:
    """Return the job once it is on disk; an input that no job needs is taken out of the bucket again.

    Where nobody knows whether the job was kept (control ends, the database went away in the middle) its input stays:
    the same key may find it again, and without one it is gone after a day.
    """
    key = asked.submission.input_key
    try:
        if (url := asked.submission.callback_url) is not None:
            await house.database.read(lambda s: callbacks.accept(s, asked.caller, url, house.callback_hosts))
        submitted = await house.database.write_joined(submitting.submit_all, asked)
    except Error as refused:
        if key and refused.code != "database_unavailable":
            await house.bucket.delete(key)
        raise
    if key and submitted.again:
        await house.bucket.delete(key)
    house.jobs.came(submitted.job.model, submitted.job.version)
    return submitted


async def wait_for(house: House, who: Caller, prefix: str, wait_s: float, told: int | None = None) -> Job:
    """Return the job when it ended, when an attempt after ``told`` has failed, or after ``wait_s``."""
    first = await house.database.read(lambda session: queries.get(session, who, prefix))
    deadline = house.clock.monotonic() + min(wait_s, asking.WAIT_MAX_S)
    with house.waiters.ticket(first.id) as ticket:
        while True:
            job = await house.database.read(lambda session: queries.get(session, who, first.id))
            left = deadline - house.clock.monotonic()
            has_news = told is not None and job.status is JobStatus.QUEUED and job.attempts > told
            if is_final(job.status) or has_news or left <= 0 or house.closing.is_set():
                return job
            await ticket.wait(min(left, 5))


async def outcome(house: House, job: Job, request: Request) -> Response:
    """Return the job's result as the answer, or raise the error it ended with."""
    headers = {"X-Fairlead-Job": job.id, "X-Fairlead-Version": job.version, "X-Request-Id": request_id(request)}
    return await results.answer(house, job, request, headers)
