"""Sends a load to a platform and notes what became of each call: as fast as answers come, or at given moments.

Latency counts from the moment at which a call was due: a sender that is late, since all workers wait, does not flatter
the figures. A job is sent with a key of its own and may be sent again; a prediction is sent once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from fairlead.measure.workload import Item, fault

_WAIT_S = 20
_PAUSE_S = (0.2, 2.0)
_LOOK_S = 1.0
"""Between two looks at the replicas."""
_AGAIN = (429, 502, 503, 504)
FINAL = ("succeeded", "failed", "canceled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is sent, where and when."""

    url: str
    token: str
    model: str
    items: Sequence[Item]
    requests: int
    workers: int
    moments: Sequence[float] | None = None
    """Seconds from the beginning, one a request; None: each worker sends its next call when it has its answer."""
    jobs: bool = True
    params: Mapping[str, str] = field(default_factory=dict)
    field: str = ""
    header: str = ""
    timeout_s: float = 600
    settle_s: float = 0
    """After the last answer the replicas are watched until there are none, at most so long."""


@dataclass(slots=True)
class Sent:
    """What became of one call; moments are seconds from the beginning."""

    name: str
    due: float
    sent: float
    done: float = 0.0
    outcome: str = "unanswered"
    """``correct``, ``wrong``, ``failed`` or ``unanswered``: the person did not wait for it."""
    said: str = ""
    """What is wrong with the answer, or the code of the failure."""


@dataclass(frozen=True, slots=True)
class Look:
    """Replicas at a moment."""

    at: float
    ready: int
    wanted: int


@dataclass(slots=True)
class Measured:
    """All that was seen."""

    calls: list[Sent] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    took_s: float = 0.0
    """Until the last answer."""
    cut: bool = False
    """The person ended it early."""


class _Failed(Exception):
    """A call that got no answer; the message is the code of the failure."""


def poisson(rate: float, count: int, seed: int) -> list[float]:
    """Return ``count`` moments at ``rate`` a second on the average, each independent of the others."""
    source, at, found = random.Random(seed), 0.0, []
    for _ in range(count):
        at += source.expovariate(rate)
        found.append(at)
    return found


async def run(plan: Plan, stop: asyncio.Event, on_progress: Callable[[Measured], None]) -> Measured:
    """Send all of ``plan`` and return what became of it; ``stop`` ends it early."""
    measured = Measured()
    limits = httpx.Limits(max_connections=plan.workers + 2, max_keepalive_connections=plan.workers + 2)
    headers = {"authorization": f"Bearer {plan.token}"} if plan.token else {}
    timeout = httpx.Timeout(plan.timeout_s, connect=10)
    async with httpx.AsyncClient(base_url=plan.url, headers=headers, limits=limits, timeout=timeout) as client:
        began = time.monotonic()
        sender = _Sender(plan, client, measured, began)
        over = asyncio.Event()
        watcher = asyncio.create_task(_watch(plan, client, measured, began, over))
        ticker = asyncio.create_task(_tick(measured, on_progress))
        work = asyncio.gather(*(asyncio.create_task(sender.work()) for _ in range(min(plan.workers, plan.requests))))
        ended = asyncio.create_task(stop.wait())
        await asyncio.wait((work, ended), return_when=asyncio.FIRST_COMPLETED)
        measured.cut = not work.done()
        measured.took_s = max((call.done for call in measured.calls), default=0.0) or time.monotonic() - began
        if measured.cut:
            work.cancel()
        over.set()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        if not measured.cut and plan.settle_s:
            await asyncio.wait((watcher, ended), return_when=asyncio.FIRST_COMPLETED)
        for task in (watcher, ticker, ended):
            task.cancel()
        await asyncio.gather(watcher, ticker, ended, return_exceptions=True)
    return measured


async def _tick(measured: Measured, on_progress: Callable[[Measured], None]) -> None:
    while True:
        on_progress(measured)
        await asyncio.sleep(1)


class _Sender:
    """Hands out calls to workers, in order."""

    def __init__(self, plan: Plan, client: httpx.AsyncClient, measured: Measured, began: float) -> None:
        self._plan, self._client, self._measured, self._began = plan, client, measured, began
        self._next = 0

    def _now(self) -> float:
        return time.monotonic() - self._began

    async def work(self) -> None:
        """Send call after call until all are sent."""
        while self._next < self._plan.requests:
            index, self._next = self._next, self._next + 1
            if self._plan.moments is not None:
                await asyncio.sleep(self._plan.moments[index] - self._now())
            await self._one(index)

    async def _one(self, index: int) -> None:
        plan, now = self._plan, self._now()
        item = plan.items[index % len(plan.items)]
        call = Sent(item.name, now if plan.moments is None else plan.moments[index], now)
        self._measured.calls.append(call)
        try:
            async with asyncio.timeout(plan.timeout_s):
                answer = await (self._job(item) if plan.jobs else self._predict(item))
        except _Failed as error:
            call.outcome, call.said = "failed", str(error)
        except TimeoutError:
            call.outcome, call.said = "failed", "timed_out"
        except httpx.HTTPError as error:
            call.outcome, call.said = "failed", f"unreachable: {type(error).__name__}"
        except OSError as error:
            call.outcome, call.said = "failed", f"unreadable: {error.strerror or error}"
        else:
            call.said = fault(item, answer, plan.field, plan.header)
            call.outcome = "wrong" if call.said else "correct"
        call.done = self._now()

    async def _predict(self, item: Item) -> bytes:
        return _content(await self._post("predict", item, {}))

    async def _post(self, verb: str, item: Item, headers: Mapping[str, str]) -> httpx.Response:
        path = f"/v1/models/{self._plan.model}/{verb}"
        said = {"content-type": item.kind, **headers}
        if item.path is not None:
            quoted = item.name.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_")
            said["content-disposition"] = f'attachment; filename="{quoted}"'
        return await self._client.post(path, content=item.content(), headers=said, params=dict(self._plan.params))

    async def _job(self, item: Item) -> bytes:
        """Return the answer to a job, which is sent and asked for until it is there."""
        headers = {"idempotency-key": uuid.uuid4().hex}
        view = _json(await self._until_it_is_there(lambda: self._post("jobs", item, headers)))
        path = f"/api/v1/jobs/{view['id']}"
        while view["status"] not in FINAL:
            asked = await self._until_it_is_there(lambda: self._client.get(path, params={"wait": _WAIT_S}))
            view = _json(asked)
        if view["status"] != "succeeded":
            raise _Failed((view.get("error") or {}).get("code") or f"job_{view['status']}")
        return _content(await self._until_it_is_there(lambda: self._client.get(f"{path}/result")))

    async def _until_it_is_there(self, ask: Callable[[], Any]) -> httpx.Response:
        """Return the answer of a platform that may be away for a while, or busy; the call's own time bounds it."""
        pause_s = _PAUSE_S[0]
        while True:
            try:
                response: httpx.Response = await ask()
                if response.status_code not in _AGAIN or _code(response) == "quota_exceeded":
                    return response
                asked_s = response.headers.get("retry-after", "")
                wait_s = min(float(asked_s), 30.0) if asked_s.isdigit() else pause_s
            except httpx.TransportError:
                wait_s = pause_s
            await asyncio.sleep(wait_s)
            pause_s = min(_PAUSE_S[1], 2 * pause_s)


def _content(response: httpx.Response) -> bytes:
    if response.is_success:
        return response.content
    raise _Failed(_code(response) or f"status {response.status_code}")


def _json(response: httpx.Response) -> Any:
    _content(response)
    return response.json()


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


async def _watch(plan: Plan, client: httpx.AsyncClient, measured: Measured, began: float, over: asyncio.Event) -> None:
    """Note the replicas each second; after the load until there are none. Ends where they cannot be seen."""
    path = f"/api/v1/models/{plan.model.partition('@')[0]}/scaling"
    until: float | None = None
    while True:
        try:
            response = await client.get(path)
            if response.status_code in (401, 403, 404):
                return
            view = response.json()
            at = time.monotonic() - began
            measured.looks.append(Look(at, int(view["ready"]), int(view["wanted"])))
            if over.is_set() and not view["ready"] and not view["starting"]:
                return
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            pass
        if over.is_set():
            until = until or time.monotonic() + plan.settle_s
            if time.monotonic() >= until:
                return
        await asyncio.sleep(_LOOK_S)
