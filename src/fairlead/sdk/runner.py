"""Runs an app's handlers: readings, timers, start and stop, the heartbeat and the page."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from datetime import datetime
from typing import Any

import msgspec

from fairlead import ticks
from fairlead.clock import Clock, from_text
from fairlead.errors import Error
from fairlead.sdk import cause
from fairlead.sdk.app import App, Handler, Reaction, check, name_of, zone_of
from fairlead.sdk.bindings import Rebound, changes
from fairlead.sdk.devices import reading_of
from fairlead.sdk.lanes import Counts, Lanes
from fairlead.sdk.tasks import is_canceled
from fairlead.sdk.trouble import Trouble
from fairlead.sdk.wire import Bound, Dropped, Measure, ReadyBody, Welcome, is_late

BEAT_S = 1.0
HANDLER_GRACE_S = 10.0
"""How long handlers that run may take to finish once the run is told to stop."""
STOP_GRACE_S = 10.0
"""The same for all functions of ``@stop`` together; with the handlers' it stays well below the 30 s before SIGKILL."""
_WAKE_S = 30.0
"""Longest sleep of a ``@at`` timer: a clock that was set is noticed by then."""
_AGAIN_MAX = 10_000


class Runner:
    """One run of an app in this process."""

    def __init__(self, app: App, clock: Clock | None = None) -> None:
        self.app = app
        self.counts = Counts()
        self.stopping = asyncio.Event()
        self.exit_code = 0
        self.started = asyncio.Event()
        """Set once the functions of ``@start`` are done."""
        self.received = 0
        """Readings that came over the channel, those sent again not counted."""
        self.repeated = 0
        """Those sent again."""
        self.at_work: list[asyncio.Task[Any] | None] = []
        """Tasks in which a function of the app runs."""
        self._telling = 0
        """Changes of bindings of which the app is not told yet."""
        self._clock = app.clock if clock is None else clock
        app.clock = self._clock
        self._lanes = Lanes(self._react, self.counts)
        self._tasks: list[asyncio.Task[None]] = []
        self._routes: dict[str, list[Reaction]] = {}
        self._seen: dict[tuple[str, str], datetime] = {}
        """When the newest reading of each property was measured."""
        self._trouble = Trouble()

    async def run(self, *, page: str | None = None) -> int:
        """Run until :meth:`stop`; return the exit code. Raises what a function of ``@start`` raises."""
        welcome = await self.app.channel.open()
        check(self.app.registered, welcome)
        self._routes = _routes(self.app.registered.reactions, welcome)
        try:
            for function in self.app.registered.starters:
                cause.begin(None)
                await _call(function)
            self.started.set()
            self._spawn("readings", self._read())
            for seconds, function in self.app.registered.periodic:
                self._spawn(f"every {seconds:g} s", self._repeat(seconds, function))
            for expression, function in self.app.registered.timed:
                self._spawn(f"at {name_of(function)}", self._ring(expression, function, welcome))
            self._spawn("heartbeat", self._beat())
            if page is not None:
                self._spawn("page", self._serve(page))
            await self.stopping.wait()
        finally:
            await self._finish()
        return self.exit_code

    @property
    def is_idle(self) -> bool:
        """Whether no function of the app runs and no reading waits for one."""
        return not self.at_work and not self._telling and self._lanes.is_idle

    def stop(self, exit_code: int = 0) -> None:
        """Have :meth:`run` end in order."""
        self.exit_code = self.exit_code or exit_code
        self.stopping.set()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_end)
        self._tasks.append(task)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """A loop of ours that ended by itself is a fault: end the process, so that it is started again."""
        if not task.cancelled() and task.exception() is not None:
            self.app.log.error("%s ended", task.get_name(), exc_info=task.exception())
            self.stop(1)

    async def _finish(self) -> None:
        loops = [task for task in self._tasks if task.get_name() not in ("heartbeat", "page")]
        await _cancel(loops)
        await self._lanes.close(HANDLER_GRACE_S)
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                for function in self.app.registered.stoppers:
                    await self._guarded(function)
        except TimeoutError:
            self.app.log.error("the functions of @stop took more than %g s", STOP_GRACE_S)
        await _cancel(self._tasks)
        await self.app.channel.close()

    async def _read(self) -> None:
        bound = self.app.channel.welcome.bindings
        async for event in self.app.channel.events():
            if isinstance(event, Bound):
                self._rebind(changes(bound, event.bindings))
                bound = event.bindings
                continue
            if isinstance(event, Dropped):
                self.counts.dropped += event.count
                self.app.log.warning("%d readings were dropped: the app is too slow for them", event.count)
                continue
            self.received += not event.again
            self.repeated += event.again
            if self._is_known(event):
                continue
            late = self._is_late(event)
            for reaction in self._routes.get(event.device, ()):
                if reaction.property in (None, event.property) and (reaction.every or not late):
                    self._lanes.offer(reaction, event, every=reaction.every)

    def _rebind(self, changed: tuple[Rebound, ...]) -> None:
        """Follow the devices that stand for the roles now, and tell the app."""
        self._routes = _routes(self.app.registered.reactions, self.app.channel.welcome)
        for one in changed:
            self.app.log.warning("%s: %s instead of %s", one.role, ", ".join(one.now), ", ".join(one.before))
        if changed and self.app.bindings.handlers:
            self._telling += 1
            self._spawn("bindings", self._tell_bindings(changed))

    async def _tell_bindings(self, changed: tuple[Rebound, ...]) -> None:
        try:
            for one in changed:
                cause.begin(None)
                cause.add(f"{one.role} is {', '.join(one.now)} now")
                for function in self.app.bindings.handlers:
                    await self._guarded(function, one)
        finally:
            self._telling -= 1

    def _is_known(self, measure: Measure) -> bool:
        """Whether this reading was seen before: last values are sent again on each new connection."""
        return measure.again and self._seen.get((measure.device, measure.property)) == from_text(measure.at)

    def _is_late(self, measure: Measure) -> bool:
        """Whether it was measured before one that came already; else it is the newest now."""
        key, at = (measure.device, measure.property), from_text(measure.at)
        newest = self._seen.get(key)
        if newest is not None and is_late(at, newest, self._clock.now()):
            return True
        if newest is not None or len(self._seen) < _AGAIN_MAX:
            self._seen[key] = at
        return False

    async def _react(self, handler: Hashable, measure: Measure) -> None:
        assert isinstance(handler, Reaction)
        cause.begin(measure)
        if await self._guarded(handler.function, reading_of(measure)):
            self.counts.handled += 1

    async def _repeat(self, seconds: float, function: Handler) -> None:
        due = self._clock.monotonic()
        while True:
            due = max(due + seconds, self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())
            cause.begin(None)
            cause.add(f"every {seconds:g} s")
            await self._guarded(function)

    async def _ring(self, expression: str, function: Handler, welcome: Welcome) -> None:
        zone, last = zone_of(welcome), self._clock.now()
        while due := ticks.following(expression, last, zone):
            while (left := (due - self._clock.now()).total_seconds()) > 0:
                await self._clock.sleep(min(left, _WAKE_S))
            cause.begin(None)
            cause.add(f"timer at {due.astimezone(zone):%H:%M}")
            await self._guarded(function)
            last = max(due, self._clock.now())

    async def _beat(self) -> None:
        while True:
            trouble = self._trouble.said(self._clock.monotonic())
            body = ReadyBody(**msgspec.structs.asdict(self.counts), trouble=trouble)
            try:
                await self.app.channel.call("POST", "/ready", content=msgspec.json.encode(body), timeout_s=5)
            except Error as error:
                self.app.log.debug("heartbeat: %s", error)
            await asyncio.sleep(BEAT_S)

    async def _serve(self, path: str) -> None:
        from fairlead.sdk.page import serve

        assert self.app.web is not None
        await serve(self.app.web, path)

    async def _guarded(self, function: Handler, *args: object) -> bool:
        """Call a function of the app; what it raises is logged and counted. Returns whether it went well."""
        task = asyncio.current_task()
        self.at_work.append(task)
        try:
            await _call(function, *args)
        except SystemExit as error:
            self.stop(error.code if isinstance(error.code, int) else 1)
            return False
        except (Exception, asyncio.CancelledError) as error:
            if is_canceled():
                raise
            self.counts.failed += 1
            self._trouble.failed(function, name_of(function), error, self._clock.monotonic())
            self.app.log.exception("%s failed", name_of(function))
            return False
        finally:
            self.at_work.remove(task)
        self._trouble.went_well(function)
        return True


def _routes(reactions: list[Reaction], welcome: Welcome) -> dict[str, list[Reaction]]:
    """Return the reactions to readings by device."""
    routes: dict[str, list[Reaction]] = {}
    for reaction in reactions:
        for device in welcome.bindings[reaction.role].devices:
            if reaction.device in (None, device):
                routes.setdefault(device, []).append(reaction)
    return routes


async def _call(function: Callable[..., Any], *args: object) -> None:
    if inspect.iscoroutinefunction(function):
        await function(*args)
        return
    result = await asyncio.to_thread(function, *args)
    if isinstance(result, Awaitable):
        await result


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
