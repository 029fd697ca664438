"""Drives the platform's own programs on this machine: Envoy, nats-server, control. Each is adopted if it lives, else
started, probed until it answers, watched, and started again with a back-off when it ends or freezes."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from fairlead.clock import Clock, to_text
from fairlead.errors import Error, Unavailable
from fairlead.keeper.programs.silence import Silence
from fairlead.keeper.programs.use import Use
from fairlead.messages import ProgramReport
from fairlead.supervisor import lastword, logfile, proc, restarts
from fairlead.supervisor.adopt import adopt
from fairlead.supervisor.child import Child
from fairlead.supervisor.process import Program, forget, read_records, start_aside

_log = logging.getLogger(__name__)
PROBE_S = 0.02
"""Between two looks whether a program that starts answers already."""
WATCH_S = 2.0
"""Between two looks whether a running program still answers."""
ANSWER_S = 5.0
TRIES = 3
"""Ends before the first answer after which a start is given up."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One program of the platform."""

    name: str
    argv: Callable[[], tuple[str, ...]]
    """Asked at each start: what it needs may change."""
    env: Mapping[str, str]
    probe: Callable[[], Awaitable[bool]]
    """Whether it answers a request; raises nothing."""
    start_s: float = 20
    """Longest time to its first answer."""
    grace_s: float = 5
    frozen_s: float = 15
    """Without an answer for so long it is killed and started anew."""
    after_start: Callable[[], Awaitable[None]] | None = None
    """Done each time it answers first."""


@dataclass(slots=True)
class _Running:
    spec: Spec
    child: Child | None = None
    status: str = "starting"
    since: str = ""
    restarts: int = 0
    reason: str = ""
    killed: str = ""
    """Why the keeper itself ended it."""
    starts: list[float] = field(default_factory=list)
    up: asyncio.Event = field(default_factory=asyncio.Event)
    was_up: bool = False
    hopeless: asyncio.Event = field(default_factory=asyncio.Event)
    """It ended ``TRIES`` times before it ever answered, or cannot be started at all."""
    error: Error | None = None
    """Why it cannot run, where it could say so."""
    task: asyncio.Task[None] | None = None
    use: Use | None = None
    """What its process takes, once it answers."""


class Programs:
    """The platform's programs on this machine."""

    def __init__(self, records: Path, logs: Path, clock: Clock, group: asyncio.TaskGroup) -> None:
        self._records, self._logs, self._clock, self._group = records, logs, clock, group
        self._running: dict[str, _Running] = {}

    async def start(self, spec: Spec) -> None:
        """Start or adopt a program and wait until it answers.

        Raises what the program said of itself, else :class:`Unavailable` with its last lines.
        """
        running = _Running(spec)
        self._running[spec.name] = running
        running.task = self._group.create_task(self._drive(running), name=f"program {spec.name}")
        up = asyncio.ensure_future(running.up.wait())
        hopeless = asyncio.ensure_future(running.hopeless.wait())
        try:
            async with asyncio.timeout(spec.start_s):
                await asyncio.wait([up, hopeless], return_when=asyncio.FIRST_COMPLETED)
            if not up.done():
                raise TimeoutError
        except TimeoutError as error:
            if running.error is not None:
                raise running.error from error
            lines = logfile.tail(self._log(spec.name), 5)
            raise Unavailable(
                f"{spec.name} did not come up: {'; '.join(lines[-2:]) or running.reason or 'it said nothing'}",
                code=f"{spec.name}_not_up",
                hint=f"see {self._log(spec.name)}",
            ) from error
        finally:
            up.cancel()
            hopeless.cancel()

    async def stop(self, name: str) -> None:
        """Stop a program within its grace; fine when it is not there."""
        running = self._running.get(name)
        if running is None or running.task is None:
            return
        running.task.cancel()
        await asyncio.wait([running.task])
        if running.child is not None:
            await running.child.stop(running.spec.grace_s)
            running.child.close()
            running.child = running.use = None
        forget(self._records, name)
        running.status = "stopped"

    def states(self) -> tuple[ProgramReport, ...]:
        return tuple(
            ProgramReport(
                name=name,
                status=running.status,
                pid=running.child.pid if running.child else 0,
                since=running.since,
                restarts=running.restarts,
                reason=running.reason,
                memory_mb=round(running.use.memory_mb, 1) if running.use else 0,
                cpu=round(running.use.cpu, 3) if running.use else 0,
            )
            for name, running in self._running.items()
        )

    def identity(self, name: str) -> str:
        """Return what tells the process of a program from all others there ever were; empty: it does not run."""
        running = self._running.get(name)
        pid = running.child.pid if running is not None and running.child is not None else 0
        started = proc.start_time(pid) if pid else None
        return f"{proc.boot_id()} {pid} {started}" if started is not None else ""

    async def _drive(self, running: _Running) -> None:
        """Keep one program running until canceled; the process is let go, not ended."""
        running.child = self._adopted(running)
        while True:
            if running.child is None and not await self._spawn(running):
                await self._pause(running)
                continue
            assert running.child is not None
            if not running.since:
                running.since = to_text(self._clock.now())
            watch = asyncio.ensure_future(self._probe(running))
            try:
                ended = await running.child.wait()
            finally:
                watch.cancel()
            running.reason, running.killed = running.killed or ended.reason, ""
            running.up.clear()
            running.child.close()
            running.child = running.use = None
            running.since = ""
            running.restarts += 1
            if not running.was_up:
                running.error = lastword.heard(logfile.tail(self._log(running.spec.name), 1))
                if running.restarts >= TRIES or ended.code == lastword.EXIT_CONFIG:
                    running.hopeless.set()
            _log.warning("program ended", extra={"program": running.spec.name, "reason": running.reason})
            await self._pause(running)

    def _adopted(self, running: _Running) -> Child | None:
        for record in read_records(self._records):
            if record.name == running.spec.name:
                child = adopt(record)
                if child is not None:
                    _log.info("adopted program", extra={"program": record.name, "pid": record.pid})
                    running.since = _began(child.pid)
                return child
        return None

    async def _spawn(self, running: _Running) -> bool:
        spec = running.spec
        running.starts.append(self._clock.monotonic())
        try:
            logfile.rotate(self._log(spec.name))
            program = Program(name=spec.name, argv=spec.argv(), env=spec.env, log=self._log(spec.name))
            running.child, _ = await start_aside(program, self._records)
        except OSError as error:  # a full disk: all else goes on, and this is tried again
            running.reason = f"{spec.name} cannot be started: {error}"
            return False
        except Error as error:
            running.reason = error.message
            if not running.was_up:
                running.error = error
                running.hopeless.set()
            return False
        running.status = "starting"
        return True

    async def _pause(self, running: _Running) -> None:
        """Wait as long as the back-off says."""
        now = self._clock.monotonic()
        running.starts = list(restarts.forgotten(running.starts, now))
        running.status = "waiting"
        match restarts.decide(running.starts, now, random.random()):
            case restarts.Restart(at):
                pass
            case restarts.CrashLoop(reason, at):
                running.reason = f"{reason}; last: {running.reason}"
                _log.error("program crashes in a loop", extra={"program": running.spec.name, "reason": running.reason})
        await self._clock.sleep(at - now)

    async def _probe(self, running: _Running) -> None:
        """Note the first answer; kill a program that stops answering."""
        assert running.child is not None
        pid, silence = running.child.pid, Silence()
        silent_from = looked = self._clock.monotonic()
        waited = proc.waited_s(pid)
        limit = running.spec.start_s * 2
        pause = PROBE_S
        while True:
            if await self._answers(running.spec):
                silence.heard()
                if not running.up.is_set() and await self._is_prepared(running):
                    limit = running.spec.frozen_s
                    running.status = "running"
                    running.was_up = True
                    running.up.set()
                    running.use = Use(pid)
                if running.use is not None:
                    running.use.look(self._clock.monotonic())
                silent_from = looked = self._clock.monotonic()
                waited = proc.waited_s(pid)
            else:
                now, before, waited = self._clock.monotonic(), waited, proc.waited_s(pid)
                on_disk = (found := proc.stat(pid)) is not None and found.state == proc.ON_DISK
                silence.missed(now - looked, ANSWER_S + pause, waited_s=waited - before, on_disk=on_disk)
                looked = now
                if silence.is_frozen(limit):
                    running.killed = f"frozen: no answer for {now - silent_from:.0f} s; ended by the keeper"
                    _log.error("program is frozen", extra={"program": running.spec.name, "reason": running.killed})
                    running.child.signal(signal.SIGKILL)
                    return
            pause = WATCH_S if running.up.is_set() else PROBE_S
            await self._clock.sleep(pause)

    async def _is_prepared(self, running: _Running) -> bool:
        """Do what follows a program's first answer; where that fails it is done again at the next look."""
        if running.spec.after_start is None:
            return True
        try:
            await running.spec.after_start()
        except (Error, OSError) as error:
            running.reason = str(error)
            _log.warning("%s answers, but: %s", running.spec.name, error)
            await self._clock.sleep(WATCH_S)
            return False
        return True

    async def _answers(self, spec: Spec) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await spec.probe()
        except TimeoutError:
            return False

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def _began(pid: int) -> str:
    """Return when a process began, nothing when it has just ended."""
    try:
        return to_text(datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC))
    except psutil.NoSuchProcess:
        return ""
