"""Drives the processes of one run: adopted or started, kept running, killed, stopped."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fairlead.clock import to_text
from fairlead.errors import Internal, Unavailable
from fairlead.keeper.running import policy as run_policy
from fairlead.keeper.running.launch import KIND, WEB, has_page_socket, program
from fairlead.keeper.running.state import RunState
from fairlead.status import RunStatus
from fairlead.supervisor import Child, CrashLoop, Exit, Restart, decide, forget, logfile, start_aside, strays
from fairlead.supervisor.child import kill_session
from fairlead.supervisor.restarts import forgotten

_log = logging.getLogger(__name__)
STOP_GRACE_S = 30.0


@dataclass
class Process:
    """One process of a run."""

    name: str
    argv: tuple[str, ...]
    child: Child | None = None
    started: float = 0
    """Moment of the monotonic clock."""
    done: bool = False
    starts: list[float] = field(default_factory=list)


class RunProcesses:
    """The processes of one run. ``found``: those that an earlier keeper left, by name."""

    def __init__(self, state: RunState, found: Mapping[str, Child]) -> None:
        self.answered: float | None = None
        """When its page answered last, or its heartbeat came last; moment of the monotonic clock."""
        self.page_fails: str | None = None
        """How the last look at its page ended, nothing where it was well; None: nobody was there."""
        self.down = ""
        """Why one was started again last."""
        self._state = state
        self._clock = state.ports.clock
        self._found = dict(found)
        self._processes: dict[str, Process] = {}
        self._failed_starts = 0
        self._killed = ""
        self._held = asyncio.Lock()

    @property
    def has_any(self) -> bool:
        """Whether some were found, or are to run."""
        return bool(self._processes or self._found)

    def pids(self) -> dict[str, int]:
        """Return the living ones by name."""
        pids = {name: child.pid for name, child in self._found.items()}
        return pids | {name: p.child.pid for name, p in self._processes.items() if p.child is not None}

    async def take(self, commands: Mapping[str, tuple[str, ...]]) -> tuple[Process, ...]:
        """Return what is to run, with the processes that were found; those found of an older manifest are stopped."""
        for name, argv in commands.items():
            self._processes[name] = Process(name, argv, self._found.pop(name, None), self._clock.monotonic())
        for child in self._found.values():
            await child.stop(STOP_GRACE_S)
            child.close()
        self._found.clear()
        return tuple(self._processes.values())

    async def keep(self, process: Process, folder: Path, environment: Path) -> None:
        """Keep one process running until it is done; raises :class:`Internal` when the run has failed."""
        state, session = self._state, 0
        while True:
            try:
                if process.child is None:
                    async with self._held:
                        process.child = await self._start(process, folder, environment)
                ended = await process.child.wait()
                session = process.child.pid
                process.child.close()
                process.child = None
            except Unavailable as error:
                ended = Exit(None, error.message)
            except OSError as error:  # a full disk, say
                ended = Exit(None, f"{process.name} cannot be started: {error}")
            state.take_lines()
            match self._after(ended):
                case run_policy.Done():
                    process.done = True
                    return
                case run_policy.Failed(reason):
                    raise Internal(reason, code="run_failed", hint=f"fairlead logs {state.wanted.run}")
                case run_policy.Again(reason):
                    state.kept.restarts += 1
                    self.answered, self.down = None, reason
                    await state.move(RunStatus.STARTING, reason)
                    await self._end_family(session)
                    await self._pause(process)

    def signs(self) -> run_policy.Signs:
        """Return the signs of life."""
        awaited = [p for p in self._processes.values() if not p.done]
        alive = bool(awaited) and all(p.child is not None for p in awaited)
        return run_policy.Signs(max(p.started for p in awaited) if alive else None, self.answered)

    def kill(self, reason: str) -> None:
        """SIGKILL to all; :meth:`keep` starts them again."""
        _log.warning("run is killed", extra={"run": self._state.wanted.run, "reason": reason})
        self._killed = reason
        for process in self._processes.values():
            if process.child is not None:
                process.child.signal(signal.SIGKILL)
                process.started = self._clock.monotonic()

    @asynccontextmanager
    async def shut_out(self, reason: str) -> AsyncIterator[None]:
        """SIGKILL to all and what they started; inside the block none is started again."""
        async with self._held:
            self.kill(reason)
            logfile.note(self._state.paths.log, to_text(self._clock.now()), f"its processes are killed: {reason}")
            for process in self._processes.values():
                if process.child is not None:
                    await asyncio.to_thread(kill_session, process.child.pid)
            if self._state.uid is not None:
                await strays.end("", uids=(self._state.uid,), grace_s=0)
            yield

    async def stop(self, grace_s: float, reason: str) -> None:
        """SIGTERM to all, SIGKILL after ``grace_s``; nothing of the run's user is left."""
        for name, child in self._found.items():
            self._processes.setdefault(name, Process(name, ())).child = child
        self._found.clear()
        living = [p.child for p in self._processes.values() if p.child is not None]
        if living:
            await self._state.move(RunStatus.STOPPING, reason)
        await asyncio.gather(*(child.stop(grace_s) for child in living))
        for process in self._processes.values():
            if process.child is not None:
                process.child.close()
                process.child = None
            forget(self._state.ports.home.children, f"{self._state.wanted.run}.{process.name}")
        if self._state.uid is not None:
            await strays.end("", uids=(self._state.uid,), grace_s=0)
        self._state.take_lines()

    def let_go(self) -> None:
        """Leave those that live to a later keeper."""
        for child in (*self._found.values(), *(p.child for p in self._processes.values())):
            if child is not None:
                child.close()

    async def _end_family(self, session: int) -> None:
        """SIGKILL what a process that has ended began and left behind: it would take room from the next."""
        if session:
            await asyncio.to_thread(kill_session, session)
        if self._state.uid is not None and len(self._processes) == 1:
            await strays.end("", uids=(self._state.uid,), grace_s=0)

    def _after(self, ended: Exit) -> run_policy.Again | run_policy.Done | run_policy.Failed:
        kept = self._state.kept
        if not kept.was_ready and ended.code != run_policy.EXIT_RETRY:
            self._failed_starts += 1
        killed, self._killed = self._killed, ""
        return run_policy.after_exit(
            ended.code,
            killed or ended.reason,
            kept.last_lines,
            was_ready=kept.was_ready,
            failed_starts=self._failed_starts,
        )

    async def _start(self, process: Process, folder: Path, environment: Path) -> Child:
        """Return one process, started; raises :class:`Unavailable`."""
        state = self._state
        wanted, paths, ports = state.wanted, state.paths, state.ports
        process.started = self._clock.monotonic()
        process.starts.append(process.started)
        logfile.rotate(paths.log)
        if process.name == WEB or has_page_socket(wanted):
            paths.page.unlink(missing_ok=True)
        made = program(
            wanted,
            process.name,
            process.argv,
            paths,
            folder=folder,
            environment=environment,
            isolation=ports.isolation,
            uid=state.uid,
            port=state.kept.port,
            marker=ports.marker,
            secrets=ports.secrets.opened(wanted.app, wanted.secrets),
            disk_mb=ports.disk_mb,
        )
        labels = {"kind": KIND, "run": wanted.run, "process": process.name, "attempt": str(state.kept.attempt)}
        child, _ = await start_aside(made, ports.home.children, labels=labels)
        ports.changed()
        return child

    async def _pause(self, process: Process) -> None:
        now = self._clock.monotonic()
        process.starts = list(forgotten(process.starts, now))
        match decide(process.starts, now, random.random()):
            case Restart(at) | CrashLoop(_, at):
                await self._clock.sleep(at - now)
