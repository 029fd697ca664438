"""Drives one run: its channel and its processes, from the start of its window to the end."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

from fairlead.bus.port import Bus
from fairlead.clock import Clock, from_text, to_text
from fairlead.errors import Error, Internal, Unavailable
from fairlead.keeper import run_policy
from fairlead.keeper.channel import RunChannel
from fairlead.keeper.channel_routes.files import RunFiles
from fairlead.keeper.memory import replace_file
from fairlead.keeper.models_call import ModelCaller
from fairlead.keeper.readings import Readings
from fairlead.keeper.run_launch import KIND, WEB, Paths, commands, has_page_socket, needs_port, paths_of, program
from fairlead.messages import RunReport, RunWanted
from fairlead.sandbox.level import Isolation
from fairlead.settings import Home
from fairlead.status import RunStatus
from fairlead.supervisor import Child, CrashLoop, Exit, Restart, decide, forget, logfile, start, strays
from fairlead.supervisor.restarts import forgotten

_log = logging.getLogger(__name__)
WINDOW_OVER = "the window closed"
"""Why a run stops at its end; the words that control uses too."""
STOP_GRACE_S = 30.0
LOOK_S = 0.05
"""Between two looks at a run that starts."""
WATCH_S = 1.0
"""Between two looks at a run that is ready."""
ANSWER_S = 5.0
_LINES = 20
_LONG_S = 30.0
"""Longest sleep towards the end of a window: a clock that was set is noticed by then."""
FINAL = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED)


@dataclass(frozen=True)
class RunPorts:
    """What every run of a machine needs."""

    home: Home
    bus: Bus
    models: ModelCaller
    files: RunFiles
    readings: Readings
    clock: Clock
    isolation: Isolation
    ready_bundle: Callable[[str], tuple[Path, Path] | None]
    """From a bundle's digest to its folder and that of its environment, once both are there."""
    uid_of: Callable[[str], int | None]
    """User id for a name, ``None``: the platform's own."""
    marker: Mapping[str, str]
    """Variables that mark all children of this installation."""
    changed: Callable[[], None]
    """Called when a report would say something new."""


class Kept(msgspec.Struct, omit_defaults=True):
    """What is kept on disk of a run, so that a new keeper goes on where the old one ended."""

    attempt: int = 0
    slot: int = -1
    """Number of its user id among those of live runs."""
    port: int = 0
    status: RunStatus = RunStatus.PLANNED
    reason: str = ""
    since: str = ""
    restarts: int = 0
    was_ready: bool = False
    last_lines: tuple[str, ...] = ()


@dataclass
class Process:
    """One process of a run."""

    name: str
    argv: tuple[str, ...]
    child: Child | None = None
    started: float = 0
    done: bool = False
    starts: list[float] = field(default_factory=list)


class DrivenRun:
    """One run. :meth:`drive` goes on until it is over; :meth:`let_go` leaves the processes to a later keeper."""

    def __init__(self, wanted: RunWanted, ports: RunPorts, kept: Kept, found: Mapping[str, Child]) -> None:
        self.wanted = wanted
        self.kept = kept
        self.paths: Paths = paths_of(ports.home, wanted.run)
        self._ports = ports
        self._found = dict(found)
        self._processes: dict[str, Process] = {}
        self._channel: RunChannel | None = None
        self._over = asyncio.Event()
        self._verdict: tuple[RunStatus, str] = (RunStatus.SUCCEEDED, "")
        self._news = asyncio.Event()
        self._answered: float | None = None
        self._failed_starts = 0
        self._killed = ""
        self._grace_s = STOP_GRACE_S
        self._uid: int | None = None

    @property
    def file(self) -> Path:
        """Where :class:`Kept` lies."""
        return kept_file(self._ports.home, self.wanted.run)

    @property
    def is_final(self) -> bool:
        return self.kept.status in FINAL

    def report(self) -> RunReport:
        """Return what is known now."""
        pids = {name: child.pid for name, child in self._found.items()}
        pids |= {name: p.child.pid for name, p in self._processes.items() if p.child is not None}
        return RunReport(
            run=self.wanted.run,
            status=self.kept.status,
            reason=self.kept.reason,
            attempt=self.kept.attempt,
            restarts=self.kept.restarts,
            pids=pids,
            page=bool(pids) and (has_page_socket(self.wanted) or needs_port(self.wanted)),
            since=self.kept.since,
            last_lines=self.kept.last_lines,
        )

    @property
    def page(self) -> str:
        """Where the front door finds the page while the run is ready: a socket's path or ``host:port``; else empty."""
        if self.kept.status is not RunStatus.READY:
            return ""
        if has_page_socket(self.wanted):
            return str(self.paths.page)
        return f"127.0.0.1:{self.kept.port}" if needs_port(self.wanted) else ""

    def update(self, wanted: RunWanted) -> None:
        """Take what control changed."""
        self.wanted = wanted
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

    def pause(self, grace_s: float) -> None:
        """Have its processes stopped with the platform; a later keeper goes on with the run."""
        self._grace_s = grace_s
        if not self.is_final:
            self.end(RunStatus.STARTING, "it was stopped with the platform")

    async def drive(self) -> None:
        """Run until it is over; canceled, it lets go and the processes live on."""
        if self.is_final:
            return
        if self.wanted.stop:
            self.end(RunStatus.SUCCEEDED, self.wanted.stop)
        elif self._left_s() <= 0:
            self.end(RunStatus.SUCCEEDED, WINDOW_OVER)
        watching = asyncio.create_task(self._watch_window(), name=f"window of {self.wanted.run}")
        try:
            self._uid = self._ports.uid_of(f"run slot {self.kept.slot}")
            if not self._over.is_set():
                await self._until_over()
            began = self.kept.was_ready or bool(self._processes or self._found)
            await self._stop()
            if self._verdict[1] == WINDOW_OVER and not began:
                self._verdict = (RunStatus.FAILED, f"{WINDOW_OVER} before it could start")
            self._move(*self._verdict)
        finally:
            watching.cancel()
            await self._close_channel()
            for child in (*self._found.values(), *(p.child for p in self._processes.values())):
                if child is not None:
                    child.close()

    async def clean(self) -> None:
        """Remove all that the run left on this machine but its log."""
        await asyncio.to_thread(remove, self._ports.home, self.wanted.run)

    # --- from start to end

    async def _until_over(self) -> None:
        """Work until somebody ends the run, or the work ends by itself."""
        working = asyncio.create_task(self._work(), name=f"work of {self.wanted.run}")
        over = asyncio.create_task(self._over.wait(), name=f"end of {self.wanted.run}")
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
        await self._sleep_until(self.wanted.starts)
        folder, environment = await self._bundle()
        if needs_port(self.wanted) and not self.kept.port:
            self.kept.port = _free_port()
        self._make_folders()
        self._channel = self._new_channel()
        await self._channel.open()
        for name, argv in commands(self.wanted, folder, environment).items():
            self._processes[name] = Process(name, argv, self._found.pop(name, None), self._ports.clock.monotonic())
        for child in self._found.values():  # of an older manifest
            await child.stop(STOP_GRACE_S)
            child.close()
        self._found.clear()
        missing = [p.name for p in self._processes.values() if p.child is None]
        if self.kept.status is not RunStatus.READY or missing:
            ended = f"{', '.join(missing)} ended while nobody watched" if self.kept.was_ready else "its window is open"
            self._move(RunStatus.STARTING, ended)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look_after(), name=f"health of {self.wanted.run}")
            keeping = [
                group.create_task(self._keep(p, folder, environment), name=f"{self.wanted.run} {p.name}")
                for p in self._processes.values()
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
            _log.error("run failed inside the keeper", exc_info=error, extra={"run": self.wanted.run})
            self.end(RunStatus.FAILED, f"{type(error).__name__}: {error}")

    async def _keep(self, process: Process, folder: Path, environment: Path) -> None:
        """Keep one process running until it is done; raises when the run has failed."""
        while True:
            try:
                if process.child is None:
                    process.child = self._start(process, folder, environment)
                ended = await process.child.wait()
                process.child.close()
                process.child = None
            except Unavailable as error:
                ended = Exit(None, error.message)
            self._kept_lines()
            match self._after(ended):
                case run_policy.Done():
                    process.done = True
                    return
                case run_policy.Failed(reason):
                    raise Internal(reason, code="run_failed", hint=f"fairlead logs {self.wanted.run}")
                case run_policy.Again(reason):
                    self.kept.restarts += 1
                    self._answered = None
                    self._move(RunStatus.STARTING, reason)
                    await self._pause(process)

    def _after(self, ended: Exit) -> run_policy.Again | run_policy.Done | run_policy.Failed:
        if not self.kept.was_ready and ended.code != run_policy.EXIT_RETRY:
            self._failed_starts += 1
        killed, self._killed = self._killed, ""
        return run_policy.after_exit(
            ended.code,
            killed or ended.reason,
            self.kept.last_lines,
            was_ready=self.kept.was_ready,
            failed_starts=self._failed_starts,
        )

    def _start(self, process: Process, folder: Path, environment: Path) -> Child:
        """Return one process, started; raises :class:`Unavailable`."""
        process.started = self._ports.clock.monotonic()
        process.starts.append(process.started)
        logfile.rotate(self.paths.log)
        if process.name == WEB or has_page_socket(self.wanted):
            self.paths.page.unlink(missing_ok=True)
        made = program(
            self.wanted,
            process.name,
            process.argv,
            self.paths,
            folder=folder,
            environment=environment,
            isolation=self._ports.isolation,
            uid=self._uid,
            port=self.kept.port,
            marker=self._ports.marker,
        )
        labels = {"kind": KIND, "run": self.wanted.run, "process": process.name, "attempt": str(self.kept.attempt)}
        child, _ = start(made, self._ports.home.children, labels=labels)
        self._ports.changed()
        return child

    async def _pause(self, process: Process) -> None:
        now = self._ports.clock.monotonic()
        process.starts = list(forgotten(process.starts, now))
        match decide(process.starts, now, random.random()):
            case Restart(at) | CrashLoop(_, at):
                await self._ports.clock.sleep(at - now)

    # --- health

    async def _look_after(self) -> None:
        """Move the run to ready, kill what does not start in time or is frozen."""
        has_probe = self.wanted.entry is not None or (needs_port(self.wanted) and self.wanted.web is not None)
        clock = self._ports.clock
        while True:
            await self._probe()
            now, signs = clock.monotonic(), self._signs()
            if self.kept.status is RunStatus.STARTING:
                if run_policy.is_ready(signs, now, has_probe=has_probe):
                    self.kept.was_ready = True
                    self._move(RunStatus.READY, "")
                elif signs.alive_since is not None and now - signs.alive_since > self.wanted.start_timeout_s:
                    self._kill(f"not ready after {self.wanted.start_timeout_s:g} s")
            elif self.kept.status is RunStatus.READY and run_policy.is_frozen(signs, now, has_probe=has_probe):
                self._kill(f"frozen: no sign of life for {run_policy.FROZEN_S:g} s")
            if self.kept.status is RunStatus.READY:
                await asyncio.to_thread(logfile.rotate, self.paths.log)
                await asyncio.sleep(WATCH_S)
            else:
                await asyncio.sleep(LOOK_S)

    def _signs(self) -> run_policy.Signs:
        awaited = [p for p in self._processes.values() if not p.done]
        alive = bool(awaited) and all(p.child is not None for p in awaited)
        return run_policy.Signs(max(p.started for p in awaited) if alive else None, self._answered)

    async def _probe(self) -> None:
        """Note the last sign of life: an answer of the page, else the heartbeat."""
        if self.wanted.web is not None and (has_page_socket(self.wanted) or needs_port(self.wanted)):
            asked = self._ports.clock.monotonic()
            if await self._page_answers(self.wanted.web):
                self._answered = asked
        elif self._channel is not None and self._channel.beat is not None:
            self._answered = self._channel.beat

    async def _page_answers(self, path: str) -> bool:
        if has_page_socket(self.wanted):
            if not self.paths.page.is_socket():
                return False
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(path=str(self.paths.page))
            host = "page"
        else:
            connector, host = aiohttp.TCPConnector(), f"127.0.0.1:{self.kept.port}"
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://{host}{path}", allow_redirects=False) as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    def _kill(self, reason: str) -> None:
        _log.warning("run is killed", extra={"run": self.wanted.run, "reason": reason})
        self._killed = reason
        for process in self._processes.values():
            if process.child is not None:
                process.child.signal(signal.SIGKILL)
                process.started = self._ports.clock.monotonic()

    # --- the end

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
        ends = self.wanted.ends
        return _LONG_S if ends is None else (from_text(ends) - self._ports.clock.now()).total_seconds()

    async def _stop(self) -> None:
        """SIGTERM to all processes, SIGKILL after the grace; nothing of the run's user is left."""
        for name, child in self._found.items():
            self._processes.setdefault(name, Process(name, ())).child = child
        self._found.clear()
        if any(p.child is not None for p in self._processes.values()):
            self._move(RunStatus.STOPPING, self._verdict[1])
        await self._end_processes(self._grace_s)
        self._kept_lines()

    async def _end_processes(self, grace_s: float) -> None:
        living = [p for p in self._processes.values() if p.child is not None]
        await asyncio.gather(*(p.child.stop(grace_s) for p in living if p.child is not None))
        for process in self._processes.values():
            if process.child is not None:
                process.child.close()
                process.child = None
            forget(self._ports.home.children, f"{self.wanted.run}.{process.name}")
        if self._uid is not None:
            await strays.end("", uids=(self._uid,), grace_s=0)

    async def _close_channel(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    # --- small things

    def _move(self, status: RunStatus, reason: str) -> None:
        """Say what is, and keep it on disk."""
        if status is not self.kept.status:
            self.kept.since = to_text(self._ports.clock.now())
        self.kept.status, self.kept.reason = status, reason
        self.save()
        self._ports.changed()
        _log.info("run is %s", status.value, extra={"run": self.wanted.run, "reason": reason})

    def save(self) -> None:
        """Put what is known on disk."""
        self.file.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(self.file, msgspec.json.encode(self.kept))

    def _kept_lines(self) -> None:
        self.kept.last_lines = logfile.tail(self.paths.log, _LINES)

    def _new_channel(self) -> RunChannel:
        ports = self._ports
        return RunChannel(
            self.wanted,
            self.paths.socket,
            self._uid,
            bus=ports.bus,
            models=ports.models,
            files=ports.files,
            readings=ports.readings,
            clock=ports.clock,
        )

    def _make_folders(self) -> None:
        """The run's user owns its scratch and the folder of its page; where its channel is, it may only look."""
        self.paths.folder.mkdir(mode=0o711, exist_ok=True)
        for folder in (self.paths.page_folder, self.paths.scratch):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._uid is not None:
                os.chown(folder, self._uid, self._uid, follow_symlinks=False)

    async def _bundle(self) -> tuple[Path, Path]:
        while (found := self._ports.ready_bundle(self.wanted.digest)) is None:
            if self.kept.status is RunStatus.PLANNED:
                self._move(RunStatus.STARTING, "its bundle is being prepared")
            await asyncio.sleep(LOOK_S)
        return found

    async def _sleep_until(self, moment: str) -> None:
        while (left := (from_text(moment) - self._ports.clock.now()).total_seconds()) > 0:
            await self._ports.clock.sleep(min(left, _LONG_S))


def kept_file(home: Home, run: str) -> Path:
    """Return where :class:`Kept` of a run lies."""
    return home.keeper / "runs" / f"{run}.json"


def remove(home: Home, run: str) -> None:
    """Remove all files of a run on this machine but its log."""
    paths = paths_of(home, run)
    for folder in (paths.folder, paths.scratch):
        shutil.rmtree(folder, ignore_errors=True)
    kept_file(home, run).unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
