"""All runs of this machine: started, adopted and stopped as the wanted state says."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager

import msgspec

from fairlead.keeper.bundles.memoryused import Bounded
from fairlead.keeper.running.launch import KIND
from fairlead.keeper.running.run import DrivenRun
from fairlead.keeper.running.state import Kept, RunPorts, kept_file, remove
from fairlead.messages import EnvironmentSpec, RunReport, RunWanted
from fairlead.status import RunStatus
from fairlead.supervisor import Child, adopt_all, forget, read_records

_log = logging.getLogger(__name__)
UNWANTED = "it is not wanted here any more"


class Runs:
    """The runs here. Call :meth:`adopt` once, then :meth:`converge` on every change; end with :meth:`let_go` (the
    processes live on) or :meth:`stop_all`."""

    def __init__(self, ports: RunPorts) -> None:
        self._ports = ports
        self._runs: dict[str, DrivenRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._found: dict[str, dict[str, Child]] = {}
        self._swept = False

    def adopt(self) -> tuple[str, ...]:
        """Find the processes of runs that an earlier keeper left; return the runs they belong to."""
        mine = [record for record in read_records(self._ports.home.children) if record.labels.get("kind") == KIND]
        living = adopt_all(mine)
        for record in mine:
            child = living.get(record.name)
            if child is None:
                forget(self._ports.home.children, record.name)
            else:
                self._found.setdefault(record.labels["run"], {})[record.labels["process"]] = child
        return tuple(self._found)

    async def converge(self, wanted: tuple[RunWanted, ...]) -> None:
        """Stop what is not wanted, hand changes to what runs, start what is new; returns once that is noted on disk.

        Raises :class:`OSError` where a run cannot be noted on disk; call it again then.
        """
        named = {run.run: run for run in wanted}
        for name, driven in tuple(self._runs.items()):
            run = named.get(name)
            if run is None:
                self._drop(driven)
            elif run.attempt > driven.state.kept.attempt:
                self._again(driven, run)
            elif run != driven.state.wanted:
                driven.update(run)
        for run in named.values():
            if run.run not in self._runs:
                await self._begin(run)
        for name in self._found.keys() - named.keys():
            await self._end_stranger(name)
        if not self._swept:
            self._swept = True
            await asyncio.to_thread(self._sweep)

    def reports(self) -> tuple[RunReport, ...]:
        """Return one report a run; a run that ended is reported until it is not wanted any more."""
        return tuple(driven.report() for driven in self._runs.values())

    def pages(self) -> dict[str, str]:
        """Return by run where its page answers: the path of a socket, or ``host:port``; only of ready runs."""
        return {run: page for run, driven in self._runs.items() if (page := driven.state.ready_page)}

    def bounded(self) -> list[Bounded]:
        """Return what is bounded in memory: each run, all its processes together."""
        found = [(name, driven.state.wanted, driven.report().pids) for name, driven in self._runs.items()]
        return [Bounded(name, run.memory_mb * 1024**2, tuple(pids.values()), {}) for name, run, pids in found if pids]

    def shut_out(self, run: str, reason: str) -> AbstractAsyncContextManager[None] | None:
        """End the processes of a run, which are started again after the block; ``None``: there is no such run here."""
        driven = self._runs.get(run)
        return driven.shut_out(reason) if driven is not None else None

    async def let_go(self) -> None:
        """Close all channels and leave the processes to a later keeper."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop_all(self, grace_s: float) -> None:
        """Stop all processes within ``grace_s``; runs whose window is still open go on when the platform does."""
        for driven in self._runs.values():
            driven.pause(grace_s)
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        await self.let_go()

    async def _begin(self, wanted: RunWanted) -> None:
        kept = self._recall(wanted)
        driven = DrivenRun(wanted, self._ports, kept, self._found.get(wanted.run, {}))
        await driven.state.save()
        self._found.pop(wanted.run, None)
        self._runs[wanted.run] = driven
        self._spawn(wanted.run, driven.drive())
        if kept.attempt < wanted.attempt:
            self._again(driven, wanted)

    def _recall(self, wanted: RunWanted) -> Kept:
        """Return what an earlier keeper knew of the run, or a new beginning with a free slot."""
        try:
            kept = msgspec.json.decode(kept_file(self._ports.home, wanted.run).read_bytes(), type=Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            kept = Kept(attempt=wanted.attempt)
        if kept.slot < 0:
            taken = {driven.state.kept.slot for driven in self._runs.values()} | self._kept_slots(wanted.run)
            kept.slot = next(number for number in range(len(taken) + 1) if number not in taken)
        return kept

    def _sweep(self) -> None:
        """Remove what is left of runs that ended, or were removed, while no keeper was there."""
        for file in (self._ports.home.keeper / "runs").glob("run-*.json"):
            if file.stem not in self._runs:
                remove(self._ports.home, file.stem)

    def _kept_slots(self, but: str) -> set[int]:
        """Return the slots of runs on disk: a keeper that starts must not give one of theirs to a new run."""
        slots = set()
        for file in (self._ports.home.keeper / "runs").glob("run-*.json"):
            if file.stem != but:
                try:
                    slots.add(msgspec.json.decode(file.read_bytes(), type=Kept).slot)
                except (FileNotFoundError, msgspec.DecodeError):
                    continue
        return slots

    def _again(self, driven: DrivenRun, wanted: RunWanted) -> None:
        """Begin the run anew, once what runs of it has stopped."""
        name = wanted.run
        before = self._tasks.get(name)
        driven.end(RunStatus.CANCELED, "it is started again")
        kept = Kept(attempt=wanted.attempt, slot=driven.state.kept.slot)
        following = DrivenRun(wanted, self._ports, kept, {})
        self._runs[name] = following

        async def drive() -> None:
            if before is not None:
                await asyncio.wait([before])
            await following.state.try_to_save()
            await following.drive()

        self._spawn(name, drive())

    def _drop(self, driven: DrivenRun) -> None:
        """Stop a run that is not wanted and forget it once it is over."""
        name = driven.state.wanted.run
        driven.end(RunStatus.CANCELED, UNWANTED)
        task = self._tasks.get(name)
        if task is not None and task.get_name() == f"drop {name}":
            return

        async def drop() -> None:
            if task is not None:
                await asyncio.wait([task])
            await driven.clean()
            if self._runs.get(name) is driven:
                del self._runs[name]
            self._tasks.pop(name, None)
            self._ports.changed()

        self._spawn(name, drop(), kind="drop")

    async def _end_stranger(self, name: str) -> None:
        """Stop processes of a run that nobody knows any more: its keeper was killed, and meanwhile it was removed."""
        wanted = RunWanted(
            run=name,
            app="",
            version="",
            digest="",
            bundle_key="",
            environment=EnvironmentSpec(),
            schedule="",
            place="",
            starts="1970-01-01T00:00:00Z",
            ends=None,
            user="",
        )
        await self._begin(wanted)
        self._drop(self._runs[name])

    def _spawn(self, name: str, work: object, kind: str = "run") -> None:
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=f"{kind} {name}")
        task.add_done_callback(_on_end)
        self._tasks[name] = task


def _on_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("%s ended with a fault of ours", task.get_name(), exc_info=error)
