"""Drives one run from the start of its window to the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from fairlead.clock import from_text
from fairlead.errors import Error
from fairlead.keeper.running import page_port as run_port
from fairlead.keeper.running import policy as run_policy
from fairlead.keeper.running.channel import RunChannel
from fairlead.keeper.running.health import look_after
from fairlead.keeper.running.launch import commands, needs_port
from fairlead.keeper.running.processes import STOP_GRACE_S, RunProcesses
from fairlead.keeper.running.state import Kept, RunPorts, RunState, remove
from fairlead.messages import RunReport, RunWanted
from fairlead.status import RunStatus
from fairlead.supervisor import Child

_log = logging.getLogger(__name__)
WINDOW_OVER = "the window closed"
"""Why a run stops at its end; the words that control uses too."""
_BUNDLE_S = 0.05
"""Between two looks whether the bundle is prepared."""
_LONG_S = 30.0
"""Longest sleep towards the end of a window: a clock that was set is noticed by then."""


class DrivenRun:
    """One run. :meth:`drive` goes on until it is over; canceled, it leaves the processes to a later keeper."""

    def __init__(self, wanted: RunWanted, ports: RunPorts, kept: Kept, found: Mapping[str, Child]) -> None:
        self.state = RunState(wanted, ports, kept)
        self._ports = ports
        self._processes = RunProcesses(self.state, found)
        self._channel: RunChannel | None = None
        self._over = asyncio.Event()
        self._verdict: tuple[RunStatus, str] = (RunStatus.SUCCEEDED, "")
        self._news = asyncio.Event()
        self._grace_s = STOP_GRACE_S

    def report(self) -> RunReport:
        """Return what is known now."""
        kept, pids = self.state.kept, self._processes.pids()
        return RunReport(
            run=self.state.wanted.run,
            status=kept.status,
            reason=kept.reason or self._trouble(),
            attempt=kept.attempt,
            restarts=kept.restarts,
            pids=pids,
            page=bool(pids and self.state.page),
            since=kept.since,
            last_lines=kept.last_lines,
        )

    def _trouble(self) -> str:
        """Return what its handlers fail with, as the SDK said last; nothing while the run is not ready."""
        if self._channel is None or self.state.kept.status is not RunStatus.READY:
            return ""
        return run_policy.trouble(self._channel.said.trouble, self.state.wanted.run)

    def update(self, wanted: RunWanted) -> None:
        """Take what control changed."""
        self.state.wanted = wanted
        if self._channel is not None:
            self._channel.update(wanted)
        self._news.set()
        if wanted.stop:
            self.end(RunStatus.SUCCEEDED, wanted.stop)

    def end(self, status: RunStatus, reason: str) -> None:
        """Have it stopped; the first verdict stands."""
        if not self._over.is_set():
            self._verdict = (status, reason)
            self._over.set()

    def shut_out(self, reason: str) -> AbstractAsyncContextManager[None]:
        """Kill its processes; they are started again after the block."""
        return self._processes.shut_out(reason)

    def pause(self, grace_s: float) -> None:
        """Have its processes stopped with the platform; a later keeper goes on with the run."""
        self._grace_s = grace_s
        if not self.state.is_final:
            self.end(RunStatus.STARTING, "it was stopped with the platform")

    async def drive(self) -> None:
        """Run until it is over; canceled, it lets go and the processes live on."""
        state = self.state
        if state.is_final:
            return
        if state.wanted.stop:
            self.end(RunStatus.SUCCEEDED, state.wanted.stop)
        elif self._left_s() <= 0:
            self.end(RunStatus.SUCCEEDED, WINDOW_OVER)
        watching = asyncio.create_task(self._watch_window(), name=f"window of {state.wanted.run}")
        try:
            try:
                state.uid = await asyncio.to_thread(self._ports.uid_of, f"run slot {state.kept.slot}")
            except OSError as error:
                self.end(RunStatus.FAILED, f"it cannot be given a user id: {error}")
            if not self._over.is_set():
                await self._until_over()
            if self._verdict[1] == WINDOW_OVER and (why := self._unwell()):
                self._verdict = (RunStatus.FAILED, why)
            await self._processes.stop(self._grace_s, self._verdict[1])
            await state.move(*self._verdict)
        finally:
            watching.cancel()
            if self._channel is not None:
                await self._channel.close()
                self._channel = None
            self._processes.let_go()

    async def clean(self) -> None:
        """Remove all that the run left on this machine but its log."""
        await asyncio.to_thread(remove, self._ports.home, self.state.wanted.run)

    # --- from start to end

    async def _until_over(self) -> None:
        """Work until somebody ends the run, or the work ends by itself."""
        run = self.state.wanted.run
        working = asyncio.create_task(self._work(), name=f"work of {run}")
        over = asyncio.create_task(self._over.wait(), name=f"end of {run}")
        try:
            await asyncio.wait([working, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            if self._over.is_set() or not working.done():
                working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        if not self._over.is_set():
            self._judge(working)

    async def _work(self) -> None:
        """Everything between the start and the end; returns when all processes are done."""
        state, run = self.state, self.state.wanted.run
        await self._sleep_until(state.wanted.starts)
        folder, environment = await self._bundle()
        if needs_port(state.wanted) and not state.kept.port:
            state.kept.port = run_port.free()
        state.make_folders()
        self._channel = channel = self._new_channel()
        await channel.open()
        processes = await self._processes.take(commands(state.wanted, folder, environment))
        missing = [process.name for process in processes if process.child is None]
        if state.kept.status is not RunStatus.READY or missing:
            ended = f"{', '.join(missing)} ended while nobody watched" if state.kept.was_ready else "its window is open"
            await state.move(RunStatus.STARTING, ended)
        async with asyncio.TaskGroup() as group:
            health = look_after(state, self._processes, lambda: channel.beat)
            looking = group.create_task(health, name=f"health of {run}")
            keeping = [
                group.create_task(self._processes.keep(process, folder, environment), name=f"{run} {process.name}")
                for process in processes
            ]
            await asyncio.wait(keeping)
            looking.cancel()

    def _judge(self, working: asyncio.Task[None]) -> None:
        """Give the verdict when the work ended by itself."""
        error = working.exception() if not working.cancelled() else None
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is None:
            self.end(RunStatus.SUCCEEDED, "all its processes ended")
        elif isinstance(error, Error):
            self.end(RunStatus.FAILED, error.message)
        else:
            _log.error("run failed inside the keeper", exc_info=error, extra={"run": self.state.wanted.run})
            self.end(RunStatus.FAILED, f"{type(error).__name__}: {error}")

    def _unwell(self) -> str:
        """Return why it has not succeeded though its window is over; nothing: it has."""
        is_down = self.state.kept.status is RunStatus.STARTING
        return run_policy.unwell(
            WINDOW_OVER,
            began=self._processes.has_any,
            was_ready=self.state.kept.was_ready,
            down=self._processes.down if is_down else "",
        )

    def _new_channel(self) -> RunChannel:
        ports = self._ports
        return RunChannel(
            self.state.wanted,
            self.state.paths.socket,
            self.state.uid,
            bus=ports.bus,
            models=ports.models,
            files=ports.files,
            readings=ports.readings,
            clock=ports.clock,
        )

    async def _bundle(self) -> tuple[Path, Path]:
        """Return the folders of the bundle and of its environment, once they are there."""
        while (found := self._ports.ready_bundle(self.state.wanted.digest)) is None:
            if self.state.kept.status is RunStatus.PLANNED:
                await self.state.move(RunStatus.STARTING, "its bundle is being prepared")
            await asyncio.sleep(_BUNDLE_S)
        return found

    # --- the window

    async def _watch_window(self) -> None:
        """End the run at the end of its window, whether control is there or not."""
        while (left := self._left_s()) > 0:
            self._news.clear()
            try:
                async with asyncio.timeout(min(left, _LONG_S)):
                    await self._news.wait()
            except TimeoutError:
                continue
        self.end(RunStatus.SUCCEEDED, WINDOW_OVER)

    def _left_s(self) -> float:
        ends = self.state.wanted.ends
        return _LONG_S if ends is None else (from_text(ends) - self._ports.clock.now()).total_seconds()

    async def _sleep_until(self, moment: str) -> None:
        while (left := (from_text(moment) - self._ports.clock.now()).total_seconds()) > 0:
            await self._ports.clock.sleep(min(left, _LONG_S))
